//! Short forms of given names, and the beginnings of their full names.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The short form, then the beginnings of its names.
const NICKNAMES: &str = "\
    abhi abhi|adi adit aadit|alex alex|ani anil anik anir|annie ann anna|anu anuradha anupama anush anuja anupriya anusuya|anju anja|avi avin|bala bala|\
    balu bal|bill william|bob rob|bobby rob|chandra chandras chandrak chandram|chandru chandra|chandu chand|charlie charl|\
    chris chris|dan dani|datta dattat|dattu datta|dave davi|deepu deep dip|dhanu dhan|dinu din|dnyanu dnyan|eddie ed|\
    fred alfred frede|freddy fred alfred|ganu gan|gopi gopi gopa|gopu gop|guru guru|\
    hari hariha harikris hariprasad haridas|harry har|hemu hem|imti imti|jaggu jag|jai jai jayend|\
    jay jayend jayesh jayant|jassi jas|jassu jas|jeetu jit jeet|jim jam|jimmy jam|jitu jit jeet|joe jos|johnny john|\
    johny john|jos jose|kalu kal|kanu kanaiya kanhai kanti|karthi karthik kartik|kate kath|kathy kath cath|kittu krish|\
    krish krish|krishna krishnam krishnas krishnak krishnar|kris krish|laddu lad|lalu lal|laxmi mahalaxmi mahalakshmi|\
    lakshmi mahalaxmi mahalakshmi|liz eliz|lizzy eliz|mahi mahe mahi|mahadu mahad|mani mani subraman|manju manju|\
    manu manoj manoh manmohan|maggie marg|mike mich|mukku mukesh|murali murali|murugan murugand|naga nagar nages nagen|\
    naren naren|nandu nand|neelu neel nil|nick nich nik|nilu nil neel|pandu pand|parth partha|pinky priyanka|\
    prabhu prabhu prabhak prabhas|prabha prabhak prabhav|puri purush|purush purush|raghu raghu ragha|raghav raghave|\
    raj raje rajk rajiv|raju raje raji raja rajk|rajen rajend|ram ramac ramak ramas ramanat ramanu ramk ramc ramn|ramu ram|ranga rangan rangas|\
    ravi ravi|ricky ric|ronnie ron|sam sam|sammy sam|sandy sand sandi|sanju sanj|santu sant|sathi sathi|satya satya|\
    seenu srin sreen|selva selva|shiv shiv|shiva shiva|shivu shiv|shyamu shyam|siddhu siddh sidh|siddu siddh sidh|sid sid|\
    siva siva|sri srin srik srid|srinu srin sreen|steve ste|subbu subb subra|subhu subh|sudhi sudh|suku suku|\
    sunny sunil sund sunee|surya suryan suryak suryap|sushi sush|tom thom tom|tommy thom|tony ant|tukya tuka|tuka tuka|\
    unni unnikrish|vasu vasu vasant srinivas|veeru vir veer|velu vel|venkat venkat|venkata venkat|venky venkat|venu venug|\
    vicky vik vig vive vign|vicki vik|vijay vijayak vijayar vijayas|vikki vik|viji vija|viju vij|vinu vinod vinay vinoth|\
    viru vir|vish vish|vishu vish|vishnu vishnuv vishnup|viswa viswan|vithu vith|yash yashw yashv|yogi yog|yusu yusuf|\
    chacko jacob|ouseph joseph|mathai mathew|varkey varghese|yohannan john|paulose paul|devassy sebastian|thoma thomas|\
    mariam mary|annamma anna|rafi rafi|shafi shafi|wasi wasi|\
    meena meenak|saras sarasw|kalyan kalyanas kalyanar|srini srini|balan balak|akhil akhile|amit amitab|\
    paru parva|gayu gayat|nag nagar nages|kamu kamak kamal|vasant vasantr";

static FORMS: LazyLock<HashMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
    let lines = NICKNAMES.split('|').filter_map(|line| line.split_once(' '));
    lines
        .map(|(short, forms)| (short, forms.split(' ').collect()))
        .collect()
});

/// Short forms of men's names, which are no short forms of a sister's: Raj is not Rajeshwari.
const OF_MEN: &str = "\
    shiv shiva shivu siva ram ramu raj raju lalu kalu ravi jai jay vijay prabhu ganu guru krish sunny mani balu raghu \
    shyamu srinu venkat venkata venky vishnu murali gopu hari";

/// Endings of women's names.
const OF_WOMEN: &str = "\
    wari vari rani vani ani ini ina ita itha eeta eetha ika mya vya dhya mati mathi vati vathi wati pana shree shri sri sree priya devi bai ben \
    lakshmi laxmi kumari gami kami mala ila angi anti anthi veni isha ganga vali kalai galai amma ammal";

/// Whether one name is a short form of the other.
pub(super) fn is_short_for(short: &str, long: &str) -> bool {
    let is_mans = OF_MEN.split(' ').any(|word| word == short);
    if is_mans && OF_WOMEN.split(' ').any(|ending| long.ends_with(ending)) {
        return false;
    }
    let is_form =
        |form: &&str| long == *form || (long.len() > short.len() && long.starts_with(form));
    FORMS
        .get(short)
        .is_some_and(|forms| forms.iter().any(is_form))
}
