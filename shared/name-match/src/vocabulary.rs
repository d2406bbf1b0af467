//! How much a word identifies a person: not at all (Mr), a little (Kumar, Sharma, Traders), or much.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::firm;
use super::holder::Kind;
use super::sound;

/// Titles at any place.
const TITLES: &str = "\
    mr mrs smt miss mx dr prof professor shrimati srimati shreemati sreemathi srimathi smti messrs minor kumaari thiru tiru tmt \
    thirumathi tirumathi tirumati advocate doctor hon honble retd rtd retired mbbs phd bds bams bhms mtech btech mba ias ips irs frcs janab mohtarma sahiba avaru \
    avargal esq sir madam";

/// Titles only at the first place: elsewhere they are initials or names.
const LEADING_TITLES: &str = "\
    ms master mstr mast kum km ku kumari sh er adv ca cs capt captain col colonel lt maj major brig gen hav nk \
    sub sgt cpl wg cdr rev fr sr bro haji hafiz maulana moulvi sau sow pt pandit justice sushri gp sqn ldr baby \
    rtn ln cma ar ustad mahant sister father bishop subedar nb naib havildar sepoy insp inspector \
    constable asi dsp dy alhaj hazrat qari hakim shriman shrimant chi chiranjeev sou chy thakur swami sant acharya cmdr \
    comdt commodore sardar sardarni kunwar lala flt cmde mufti selvi selvan chelvi chelvan";

/// Titles of men, and of women.
const MALE_TITLES: &str = "mr master mstr thiru tiru shri janab sardar";
const FEMALE_TITLES: &str = "\
    mrs smt miss ms shrimati srimati shreemati sreemathi srimathi smti tmt thirumathi tirumathi tirumati kum kumari km ku sau \
    sow sushri mohtarma sahiba sardarni kumaari";

/// Fillers of men's names, and of women's.
const MALE: &str = "kumar singh lal prasad das ram chand chandra nath raj babu dev pal abdul swami saheb khan mohammed appa anna ayya miya";
const FEMALE: &str = "\
    kumari devi kaur rani begum bibi bano khatoon lata vati ben behn bahen bhen amma ammal sultana khanam khanum nisa sardarni akka avva tai";

/// Spellings of Sri. Before a name Sri is a title; in Sri Devi it is half of the name.
const HONOURS: &str = "sri shri sree shree shre siri";

const PARTICLES: &str = "\
    mohammed bhai ben behn bhen bahen behen bai ji saheb sahib saab garu gari amma ammal appa anna akka ayya aiya avva tai dada baba miya mian sahab maharaj garu gaaru gaari ul ur ud al el bin binti uddin syed \
    shaikh the of and";

const COMMON: &str = "\
    kumar kumari singh devi khan lal bibi prasad das ram chand chandra kaur begum rani bano khatoon khanam khanum nisa ali ahmed babu \
    raj dev nath pal abdul hussain lata kanta swami vati sultana";

const FAMILIES: &str = "\
    rao reddy naidu sharma verma gupta patel shah nair iyer iyengar menon pillai mishra tiwari pandey dubey \
    dwivedi trivedi chaturvedi shukla joshi jain mehta desai parekh parikh modi yadav chowdhury agarwal bansal \
    mittal goel goyal garg singhal jindal kapoor khanna malhotra chopra arora bhatia sethi kohli ahuja saxena \
    srivastava shrivastav mathur bhatnagar sinha thakur rathore chauhan solanki rajput bisht rawat negi bose dutta \
    ghosh sen mukherjee banerjee chatterjee ganguly bhattacharya mukhopadhyay bandopadhyay chattopadhyay \
    gangopadhyay chakraborty chakravarty roy saha mondal mandal biswas sarkar nayak naik sahoo sahu mohanty \
    mahapatra mohapatra panda pradhan behera jena swain gogoi bora baruah saikia kalita patil deshmukh deshpande \
    kulkarni jadhav pawar shinde gaikwad kamble chavan bhosale kale joglekar gokhale gowda shetty hegde bhat bhatt \
    kamath pai prabhu acharya varghese kurian cherian fernandes dsouza pereira rodrigues gonsalves dias pinto lobo \
    dcosta mascarenhas ansari siddiqui qureshi pathan mirza malik bajaj grover sood puri gill sandhu sidhu dhillon \
    grewal bedi sodhi ahluwalia dave bhagat murmu soren tudu hansda kisku lama gurung tamang rai chettiar nadar \
    mudaliar gounder thevar bhardwaj dixit tripathi upadhyay awasthi agnihotri bajpai kushwaha maurya prajapati vishwakarma \
    jaiswal chaurasia kashyap nishad paswan tomar bhadauria parmar solanki vaghela makwana panchal thakkar vora \
    vyas raval sawant salunkhe more thorat nikam suryavanshi bhoir kadam gawande ingle pednekar naidu goud chetty \
    setty hiremath biradar angadi warrier nambiar kurup pisharody unnithan panicker majumdar bhowmick haldar guha nandi \
    dasgupta sengupta hazarika boruah phukan satpathy panigrahi jena biswal sethi brar bajwa toor mann virk sohal \
    aulakh dcruz dmello dsilva dcunha rebello menezes almeida laskar mansuri idrisi bagwan momin";

static BY_SOUND: LazyLock<HashMap<String, Kind>> = LazyLock::new(|| {
    let mut kinds = HashMap::new();
    for (words, kind) in [
        (FAMILIES, Kind::Family),
        (COMMON, Kind::Common),
        (PARTICLES, Kind::Particle),
    ] {
        for word in words.split(' ') {
            kinds.insert(sound::key(word), kind);
        }
    }
    kinds
});

static BY_LETTER: LazyLock<HashMap<&'static str, Kind>> =
    LazyLock::new(|| TITLES.split(' ').map(|word| (word, Kind::Title)).collect());

/// Whether a filler is of women's names (`true`) or of men's (`false`), by the key of its sound.
static FILLERS: LazyLock<HashMap<String, bool>> = LazyLock::new(|| {
    let of =
        |words: &'static str, female| words.split(' ').map(move |word| (sound::key(word), female));
    of(MALE, false).chain(of(FEMALE, true)).collect()
});

/// Returns the kind of a word, at any place.
pub(super) fn kind(text: &str, key: &str) -> Kind {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Kind::Number;
    }
    if is_initial(text) {
        return Kind::Initial;
    }
    let title = BY_LETTER.get(text).copied();
    title
        .or_else(|| firm::kind(text))
        .or_else(|| BY_SOUND.get(key).copied())
        .unwrap_or(Kind::Own)
}

/// Returns the sex of a filler, `true` for women; `None` for other words.
pub(super) fn is_female_filler(text: &str, key: &str) -> Option<bool> {
    // The two have one sound by the rules.
    match text {
        "bhai" => Some(false),
        "bai" => Some(true),
        _ => FILLERS.get(key).copied(),
    }
}

/// Returns the sex that the end of a word shows, `true` for women: Rameshbhai, Hiraben.
pub(super) fn is_female_by_ending(text: &str) -> Option<bool> {
    const ENDINGS: [(&str, bool); 16] = [
        ("ben", true),
        ("bhen", true),
        ("behn", true),
        ("bahen", true),
        ("bai", true),
        ("kumari", true),
        ("devi", true),
        ("rani", true),
        ("amma", true),
        ("ammal", true),
        ("begum", true),
        ("bhai", false),
        ("kumar", false),
        ("singh", false),
        ("lal", false),
        ("rao", false),
    ];
    let ends = |ending: &str| text.len() > ending.len() + 2 && text.ends_with(ending);
    let found = ENDINGS.iter().find(|(ending, _)| ends(ending));
    found.map(|(_, female)| *female)
}

/// Whether the word is a title at the first place.
pub(super) fn is_leading_title(text: &str) -> bool {
    is_in(LEADING_TITLES, text)
}

/// Whether a filler is a given name in the first place: "Lata Kasar", "Raj Malhotra".
pub(super) fn is_given_name_first(text: &str) -> bool {
    !matches!(
        text,
        "kumar"
            | "kumari"
            | "singh"
            | "devi"
            | "khan"
            | "kaur"
            | "begum"
            | "bibi"
            | "abdul"
            | "das"
    )
}

/// Titles that are also given names: Major Singh, Sant Ram, Hafiz Khan.
const GIVEN_NAMES: &str = "\
    major captain colonel subedar havildar inspector sardar kunwar thakur sant swami pandit master acharya mahant ustad hakim \
    haji hafiz hazrat chiranjeev justice lala baby selvi selvan chelvi chelvan";

/// Whether a title is also a given name.
pub(super) fn is_given_name(title: &str) -> bool {
    is_in(GIVEN_NAMES, title)
}

/// Whether a title is also the given name before a father's or husband's: "Selvi Kandasamy".
pub(super) fn is_first_of_two(title: &str) -> bool {
    matches!(
        title,
        "selvi" | "selvan" | "lala" | "baby" | "chelvi" | "chelvan"
    )
}

/// Whether the word ends like given names of the South that are the last word: Krishnamurthy, Balasubramanian.
pub(super) fn is_southern_given_name(text: &str) -> bool {
    const ENDINGS: [&str; 12] = [
        "murthy",
        "moorthy",
        "murthi",
        "murti",
        "subramanian",
        "subramaniam",
        "subramanyam",
        "krishnan",
        "swamy",
        "swami",
        "eswarlu",
        "narayana",
    ];
    ENDINGS
        .iter()
        .any(|ending| text.len() > ending.len() && text.ends_with(ending))
}

/// Whether the word is a spelling of Sri.
pub(super) fn is_honour(text: &str) -> bool {
    is_in(HONOURS, text)
}

/// Whether a title is a woman's (`true`) or a man's (`false`); `None` if it is neither.
pub(super) fn is_female(title: &str) -> Option<bool> {
    if is_in(FEMALE_TITLES, title) {
        return Some(true);
    }
    is_in(MALE_TITLES, title).then_some(false)
}

/// Whether the word is the trade or the legal form of a firm.
pub(super) fn is_of_a_firm(text: &str) -> bool {
    firm::kind(text).is_some()
}

fn is_initial(text: &str) -> bool {
    let mut letters = text.chars();
    match (letters.next(), letters.next(), letters.next()) {
        (Some(_), None, _) => true,
        (Some(first), Some('h'), None) => {
            matches!(first, 'b' | 'c' | 'd' | 'g' | 'j' | 'k' | 'p' | 's' | 't')
        }
        _ => false,
    }
}

/// Whether two or three letters are initials written together (SV, RKS), not a short name (Om, Jo) or a title.
pub(super) fn are_initials(text: &str) -> bool {
    const SHORT_NAMES: &str = "kmr sgh sng bgm prsd mhd om jo bo al su de da di du la le el ul ur ud bi ji re uma ben md sk ma ra ha li lo xu wu co of mc st";
    let vowels = text.bytes().any(|byte| b"aeiouy".contains(&byte));
    let short = match text.len() {
        2 => !is_initial(text),
        3 => !vowels,
        _ => false,
    };
    short
        && text.bytes().all(|byte| byte.is_ascii_alphabetic())
        && !is_in(SHORT_NAMES, text)
        && !BY_LETTER.contains_key(text)
        && firm::kind(text).is_none()
}

fn is_in(words: &str, word: &str) -> bool {
    words.split(' ').any(|one| one == word)
}
