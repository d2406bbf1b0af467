//! Cities, which a firm's name may have at its end, and their other names.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Cities; the first name of a line represents the others.
const PLACES: &str = "\
    mumbai,bombay|delhi,newdelhi|kolkata,calcutta|chennai,madras|bengaluru,bangalore,blr|hyderabad,hyd|pune,poona|ahmedabad,amdavad|\
    surat|jaipur|lucknow|kanpur,cawnpore|nagpur|indore|thane,thana|bhopal|visakhapatnam,vizag,vishakhapatnam|patna|\
    vadodara,baroda|ghaziabad|ludhiana|agra|nashik,nasik|faridabad|meerut|rajkot|varanasi,banaras,benares,kashi|srinagar|\
    aurangabad,sambhajinagar|dhanbad|amritsar|prayagraj,allahabad|ranchi|howrah|coimbatore,kovai|jabalpur|gwalior|vijayawada,bezawada|\
    jodhpur|madurai|raipur|kota|guwahati,gauhati|chandigarh|solapur,sholapur|hubballi,hubli|dharwad,dharwar|bareilly|moradabad|\
    mysuru,mysore|gurugram,gurgaon|aligarh|jalandhar,jullundur|tiruchirappalli,trichy,tiruchi|bhubaneswar,bhubaneshwar|salem|\
    warangal|guntur|bhiwandi|saharanpur|gorakhpur|bikaner|amravati,amaravati|noida|jamshedpur,tatanagar|bhilai|cuttack|\
    firozabad|kochi,cochin,ernakulam|nellore|bhavnagar|dehradun|durgapur|asansol|rourkela|nanded|kolhapur|ajmer|akola|\
    kalaburagi,gulbarga|jamnagar|ujjain|siliguri|jhansi|ulhasnagar|jammu|sangli|mangaluru,mangalore|erode|belagavi,belgaum|\
    kurnool|ambattur|tirunelveli,nellai|malegaon|jalgaon|udaipur|maheshtala|tiruppur,tirupur|davanagere|kozhikode,calicut|\
    bokaro|ballari,bellary|patiala|gopalpur|agartala|bhagalpur|muzaffarnagar|latur|dhule|rohtak|korba|bhilwara|berhampur,brahmapur|\
    muzaffarpur|ahmednagar|mathura|kollam,quilon|avadi|rajahmundry,rajamahendravaram|kadapa,cuddapah|bilaspur|shahjahanpur|satara|\
    vijayapura,bijapur|rampur|shivamogga,shimoga|chandrapur|junagadh|thrissur,trichur|alwar|bardhaman,burdwan|kakinada|nizamabad|\
    parbhani|tumakuru,tumkur|khammam|panipat|darbhanga|bathinda,bhatinda|sonipat,sonepat|farrukhabad|durg|imphal|ratlam|hapur|\
    anantapur,anantpur|arrah|karimnagar|etawah|bharatpur|begusarai|gandhidham|puducherry,pondicherry,pondy|sikar|thoothukudi,tuticorin|\
    mirzapur|raichur|haridwar,hardwar|vizianagaram|katihar|nagercoil|thanjavur,tanjore|bulandshahr|murwara|sambalpur|\
    singrauli|nadiad|secunderabad|yamunanagar|munger|panchkula|burhanpur|kharagpur|dindigul|gandhinagar|hospet|ongole|deoghar|\
    hisar|hissar|karnal|shimla,simla|solan|hosur|kanchipuram,kancheepuram|karur|namakkal|cuddalore|vellore|palakkad,palghat|\
    kannur,cannanore|kasaragod|alappuzha,alleppey|kottayam|malappuram|thiruvananthapuram,trivandrum|panaji,panjim|margao|vasco|mapusa|\
    ratnagiri|sindhudurg|raigad|palghar|wardha|yavatmal|buldhana|jalna|hingoli|osmanabad,dharashiv|gondia|bhandara|bharuch,broach|\
    navsari|valsad|vapi|mehsana|palanpur|godhra|morbi|porbandar|veraval|bhuj|hassan|mandya|udupi|karwar|bidar|bagalkot|gadag|haveri|\
    chitradurga|balasore|baripada|angul|hazaribagh|giridih|dumka|chhapra|siwan|gopalganj|purnia|saharsa|samastipur|motihari|\
    bettiah|hajipur|ballia|azamgarh|jaunpur|faizabad,ayodhya|sultanpur|raebareli|unnao|sitapur|hardoi|barabanki|\
    satna|chhindwara|khandwa|khargone|dewas|mandsaur|neemuch|vidisha|morena|bhind|nabha|firozpur,ferozepur|hoshiarpur|\
    pathankot|gurdaspur|kapurthala|ambala|kurukshetra|kaithal|jind|bhiwani|rewari|haldwani|rudrapur|kashipur|roorkee|rishikesh|\
    dibrugarh|jorhat|silchar|tezpur|tinsukia|shillong|aizawl|kohima|dimapur|itanagar|gangtok|leh|tirupati|chittoor|\
    eluru|machilipatnam|tenali|bhimavaram|srikakulam|adilabad|mahbubnagar|nalgonda|siddipet";

/// Short names of states, after a city.
const STATES: &str = "cg mp up tn ap ts tg wb mh ka kl gj rj pb hr hp jk uk br jh or od as ga dl";

static BY_NAME: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let line = |line: &'static str| {
        let first = line.split(',').next().unwrap_or_default();
        line.split(',').map(move |name| (name, first))
    };
    PLACES.split('|').flat_map(line).collect()
});

/// Returns the name that represents all names of a city; `None` for other words.
pub(super) fn canonical(text: &str) -> Option<&'static str> {
    BY_NAME.get(text).copied()
}

/// Whether a word is the short name of a state.
pub(super) fn is_state(text: &str) -> bool {
    STATES.split(' ').any(|state| state == text)
}
