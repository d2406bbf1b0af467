//! How much a word identifies a person: not at all (Mr), a little (Kumar, Sharma, Traders), or much.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::sound;

/// Kind of a word in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Mr, Smt, Dr: optional.
    Title,
    /// Mohd, Sri, bhai, ul: often left out, never a contradiction.
    Particle,
    /// Kumar, Devi, Khan: too frequent to separate persons.
    Common,
    /// Sharma, Reddy: a family name, shared with relatives and strangers.
    Family,
    /// Traders, Enterprises: the trade of a firm.
    Trade,
    /// Private Limited, LLP, & Co: the legal form of a firm.
    Legal,
    /// Digits.
    Number,
    /// One letter, or the two that one Indian letter becomes (Bh, Ch).
    Initial,
    /// Any other word.
    Own,
}

impl Kind {
    /// Whether the word may be missing or differ without a contradiction.
    pub(super) fn is_optional(self) -> bool {
        matches!(self, Self::Title | Self::Particle | Self::Legal)
    }
}

/// Titles at any place.
const TITLES: &str = "\
    mr mrs smt miss mx dr prof professor shrimati srimati shreemati smti messrs late minor kumaari thiru tmt \
    thirumathi selvi selvan advocate doctor hon honble";

/// Titles only at the first place: elsewhere they are initials or names.
const LEADING_TITLES: &str = "\
    ms master mst mstr mast kum km ku kumari sh er adv ca cs capt captain col colonel lt maj major brig gen hav nk \
    sub sgt cpl wg cdr rev fr sr bro haji hafiz maulana moulvi sau sow pt pandit justice sushri gp sqn ldr";

/// Titles of men, and of women.
const MALE_TITLES: &str = "mr master mstr thiru selvan shri sri shree sree";
const FEMALE_TITLES: &str = "mrs smt miss ms shrimati srimati shreemati smti tmt thirumathi selvi kum kumari km ku sau sow sushri";

/// Spellings of Sri. Before a name Sri is a title; in Sri Devi it is half of the name.
const HONOURS: &str = "sri shri sree shree shre siri";

const PARTICLES: &str = "\
    mohammed bhai ben behn bhen bai ji saheb sahib saab garu gari amma appa ul ur ud al el bin binti uddin syed \
    shaikh the of and";

const COMMON: &str = "\
    kumar kumari singh devi khan lal bibi prasad das ram chand chandra kaur begum rani bano khatoon ali ahmed babu \
    raj dev nath pal abdul hussain lata kanta swami vati";

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
    mudaliar gounder thevar";

const TRADES: &str = "\
    traders trader trading enterprises enterprise stores store exports export imports import industries industry \
    agencies agency associates solutions services service technologies technology tech infotech software systems \
    textiles textile mills mill jewellers jewellery motors auto automobiles electricals electronics electrical \
    constructions construction builders developers infra infrastructure properties estates realty foods food \
    bakery sweets caterers hotel hotels restaurant cafe medicals medical pharma pharmacy pharmaceuticals hospital \
    clinic diagnostics logistics transport transports roadways travels tours finance capital investments holdings \
    ventures consultants consultancy consulting marketing distributors distributor suppliers wholesale garments \
    fashions fashion boutique silks sarees furniture hardware steel steels metals plastics chemicals paints \
    printers press studio media communications telecom mobiles mobile computers energy power solar engineering \
    engineers works workshop udyog bhandar kirana provision general mart supermarket bazaar dairy farms farm agro \
    seeds fertilizers poultry trust foundation society school college academy institute university sangh samiti \
    mandir temple international india global group sons brothers bros partners labs retail creations products \
    manufacturing packaging crafts handicrafts timber tiles granites marbles opticals";

const LEGAL: &str = "pvt private prvt pvtltd ltd limited llp llc inc incorporated corp corporation co company plc opc";

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

static BY_LETTER: LazyLock<HashMap<&'static str, Kind>> = LazyLock::new(|| {
    let of = |words: &'static str, kind| words.split(' ').map(move |word| (word, kind));
    of(TITLES, Kind::Title)
        .chain(of(TRADES, Kind::Trade))
        .chain(of(LEGAL, Kind::Legal))
        .collect()
});

/// Returns the kind of a word, at any place.
pub(super) fn kind(text: &str, key: &str) -> Kind {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Kind::Number;
    }
    if is_initial(text) {
        return Kind::Initial;
    }
    BY_LETTER
        .get(text)
        .or_else(|| BY_SOUND.get(key))
        .copied()
        .unwrap_or(Kind::Own)
}

/// Whether the word is a title at the first place.
pub(super) fn is_leading_title(text: &str) -> bool {
    is_in(LEADING_TITLES, text)
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
    matches!(BY_LETTER.get(text), Some(Kind::Trade | Kind::Legal))
}

/// Returns the full word of a legal form: Private for Pvt, Limited for Ltd, Company for Co.
pub(super) fn legal_form(text: &str) -> &str {
    match text {
        "pvt" | "prvt" => "private",
        "ltd" => "limited",
        "co" => "company",
        "corp" => "corporation",
        "inc" => "incorporated",
        other => other,
    }
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
    const SHORT_NAMES: &str = "om jo bo al su de da di du la le el ul ur ud bi ji re uma ben md sk ma ra ha li lo xu wu co of mc st";
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
}

fn is_in(words: &str, word: &str) -> bool {
    words.split(' ').any(|one| one == word)
}
