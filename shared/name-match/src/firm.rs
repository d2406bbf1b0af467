//! Words of firms and other bodies: what they trade in, their legal form, and how banks shorten both.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::holder::{Form, Kind};

/// Words of one meaning; the first represents them. Shortened words are here only if they are no part of a person's name.
const FORMS: &str = "\
    enterprises,enterprise,entp,entps,entpr,entr,entrp,enterprices,enterprizes|traders,trader,trdrs,trdr,tdrs,trds|\
    trading,trdg,tradg|transport,transports,tpt,trpt,tpts,transporters,transporter|engineering,engg,engrg,engineerings|\
    engineers,engineer,engrs|industries,industry,inds,indus,indust|agency,agencies,agncy,agncs,agcy,agys,agcs|\
    manufacturing,mfg,manufacture|manufacturers,manufacturer,mfrs|constructions,construction,constn,constr,constrn|\
    pharmaceuticals,pharma,pharmaceutical|pharmacy,pharmacies|hospital,hospitals,hospl|international,intl,internatl|\
    association,assn,assocn,asscn|associates,associate,assoc,assocs|society,socy|cooperative,coop|brothers,bros|\
    distributors,distributor,distr,distrs,distbr,distributers|distribution,distn|electricals,electrical,elects,electls|\
    electronics,electronic,electrnx|services,service,svcs,svc,srvcs,srvs|technologies,technology,tech,techs,technos|\
    chemicals,chemical,chem,chems|marketing,mktg,mktng|management,mgmt,mgmnt|government,govt|university,univ|institute,instt|\
    department,deptt|automobiles,automobile,automob|machinery,machineries,mchy|hardware,hardwares|fertilizers,fertilizer,fertilisers|\
    housing,hsg|education,educational,educn|stores,store,strs|exports,export,exporters,exporter,expts|imports,import,importers|\
    solutions,solution,solns|textiles,textile,tex,txtls|mills,mill|jewellers,jeweller,jewellery,jewelers,jewellrs,jwlrs|motors,motor,mtrs|\
    builders,builder,bldrs|developers,developer,devlprs|properties,property|restaurant,restaurants,restt|medicals,medical,medcl|\
    logistics,logistic|travels,travel,trvls|tours,tour|investments,investment,invt|consultants,consultant,consultancy,consulting|\
    suppliers,supplier,supplyers|garments,garment,gmts|fashions,fashion|metals,metal|printers,printer|works,work,wks|\
    laboratories,laboratory,labs|corporation,corpn|charitable,charity|infrastructure,infra|secondary,secy|school,schools,schl|projects,project,proj";

/// Other words of trade.
const TRADES: &str = "\
    infotech software systems auto realtech realty estates foods food bakery sweets caterers hotel hotels cafe clinic \
    diagnostics roadways roadlines roadline carriers cargo courier freight packers movers finance capital holdings ventures \
    wholesale retail boutique silks saree sarees furniture furnitures steel steels plastics plastic polymers polymer \
    paints press studio studios media communications communication telecom mobiles mobile computers computer energy power \
    solar workshop udyog bhandar kendra kirana provision provisions general mart supermarket bazaar dairy farms farm \
    agro agri agrofarms seeds poultry trust foundation college academy sangh samiti sanstha mandir temple \
    india global group partners creations products product packaging crafts handicrafts handloom handlooms timber \
    timbers tiles sons marble marbles granite granites opticals optical house centre center corner palace emporium depot \
    syndicate tailors shop shops ration footwear footwears plywood plywoods borewells coaching classes nursery lodge garage cables cable \
    ceramics ceramic leathers leather apparels apparel forgings forging spinning cotton yarn cloth merchants cycle tyres \
    tyre batteries battery xerox photo salon saloon parlour gym fitness dhaba flour oil oils rice masala spices cement \
    bricks brick stones glass aluminium scrap welding fabrication fabricators tools machines machine pumps pipes \
    sanitary interiors interior decorators decor events tent gallery gifts gift toys book books stationery stationers \
    publications publishers offset graphics advertising security manpower placement laundry drycleaners dyers dyeing \
    knitwear hosiery fabrics petroleum petrol fuel fuels filling bikes cars wheels driving vidyalaya vidyapeeth niketan \
    shikshan parishad panchayat patsanstha sahakari nagarik welfare federation union club committee council board \
    municipal ministry office devasthanam ashram gurudwara church masjid dargah madrasa nursing homes dental pathology \
    medicare healthcare wellness ayurved ayurveda ayurvedic chemist chemists druggist druggists drugs hospitality \
    impex overseas worldwide commerce commercial syndicates concern unit plant branch higher senior primary \
    public convent paper papers organics shipping infratech biotech fintech edutech cotex aushadhi fancy sports gas \
    hatchery nurseries fisheries fishery seafoods cashew coir rubber plantations plantation tea coffee \
    mahila bachat shg gat hall innovations resources instruments equipments equipment appliances refrigeration \
    electric lighting digital cyber online printing design designs designers wear collection collections zone hub plaza resort \
    resorts inn banquet garden gardens stockist stockists khadi gramodyog secondary montessori library cabs taxi rentals spares \
    parts components castings foundry alloys wires rolling ispat tubes fasteners bearings gears valves pumps generators \
    transformers switchgears controls automation robotics research analytics films pictures entertainment productions gems \
    diamonds bangles seva vihar complex promoters contractors decorator caterer transporters liquor wines wine bar bakers \
    confectionery kirana juice icecream tiffin mess canteen hostel guest cold storage godown warehouse warehousing";

const LEGAL: &str =
    "pvt private prvt pvtltd ltd limited llp llc inc incorporated corp co company plc opc";

/// English words of firms as Indian scripts spell them, with few consonants: longer ones are found by these.
const ENGLISH: &[(&str, &str)] = &[
    ("yunit", "unit"),
    ("stor stors storj storsa stozhs sttozhs sttors", "stores"),
    ("limited limitid limitet", "limited"),
    ("praivet praivat pravet piraivet praiveta", "private"),
    ("kanpani kampani kampeni kanpeni kampani", "company"),
    (
        "medikal medikals medikkal medikkals metikkal metikkals",
        "medicals",
    ),
    ("motars motors mottars", "motors"),
    ("trast trasta", "trust"),
    ("skul skool", "school"),
    ("kolej kalej", "college"),
    ("mesars mesarsa misars mesarj", "messrs"),
    (
        "ejansi ejensi ejensij ejansij ejenchi ejenchis ejensis",
        "agency",
    ),
    ("deri dairi deyari deyri", "dairy"),
    ("hotal hotel hottal", "hotel"),
    ("mil mils mill", "mills"),
    ("bradars bradarsa bradarj", "brothers"),
    ("sans sansa sanj", "sons"),
    (
        "hardveyar hardaveyar hardaver hardver hardvear hardvare",
        "hardware",
    ),
    ("farnichar parnichar farnicar pharnichar", "furniture"),
    ("sarvis sarvises sarvisej sarvisesa sarvisas", "services"),
    ("farma pharma parma", "pharmaceuticals"),
    ("esosiets esosietsa asosiets esosiyets", "associates"),
    (
        "kanstrakshan kanstrakshans konstrakshan kanstrakshansa",
        "constructions",
    ),
    ("solyushans solyushan solyushansa salyushans", "solutions"),
    ("sistams sistam", "systems"),
    ("teknoloji teknolojij teknolojis", "technologies"),
    ("neshanal nashanal", "national"),
    ("intarneshanal intarnashanal", "international"),
    ("jeneral janaral janral", "general"),
    ("sentar", "center"),
    ("haspital hospital aspatal", "hospital"),
    ("klinik", "clinic"),
    ("fud fuds phud phuds", "foods"),
    ("svits svit svitsa", "sweets"),
    ("bekari bekri", "bakery"),
    ("trevals trevels travals traivals", "travels"),
    ("fashan feshan pheshan", "fashion"),
    ("tredezhs tredars tredarsa tiretars", "traders"),
    ("hal", "hall"),
    ("pablik", "public"),
    ("nyu", "new"),
    ("siti", "city"),
    ("groop grup", "group"),
];

/// Words of trade by every form of them, with the form that represents them.
static TRADE: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let mut words: HashMap<_, _> = TRADES.split(' ').map(|word| (word, word)).collect();
    for forms in FORMS.split('|') {
        let first = forms.split(',').next().unwrap_or_default();
        words.extend(forms.split(',').map(|word| (word, first)));
    }
    words
});

static BY_SPELLING: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let line = |(spellings, english): &(&'static str, &'static str)| {
        let english = *english;
        spellings
            .split(' ')
            .map(move |spelling| (spelling, english))
    };
    ENGLISH.iter().flat_map(line).collect()
});

static KINDS: LazyLock<HashMap<&'static str, Kind>> = LazyLock::new(|| {
    let trade = TRADE.keys().map(|word| (*word, Kind::Trade));
    trade
        .chain(LEGAL.split(' ').map(|word| (word, Kind::Legal)))
        .collect()
});

/// Words by their consonants, for English words in an Indian script.
static BY_CONSONANTS: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let words = TRADE.iter().map(|(word, first)| (*word, *first));
    // Fewer consonants are those of names too: services and Sarvesh.
    words
        .map(|(word, first)| (consonants(word), first))
        .filter(|(key, _)| key.trim_end_matches('+').len() >= 5)
        .collect()
});

/// Returns the kind of a word of a firm; `None` for others.
pub(super) fn kind(text: &str) -> Option<Kind> {
    KINDS.get(text).copied()
}

/// Returns the word that represents all spellings of a word of trade or a legal form.
pub(super) fn canonical(text: &str) -> &str {
    match text {
        "pvt" | "prvt" | "pte" => "private",
        "ltd" | "lmt" | "lmtd" => "limited",
        "co" => "company",
        "corp" => "corporation",
        "inc" => "incorporated",
        "st" => "saint",
        other => TRADE.get(other).copied().unwrap_or(other),
    }
}

/// Returns the English word of trade that a word in an Indian script spells: ट्रेडर्स, లిమిటెడ్.
pub(super) fn in_indian_letters(text: &str) -> Option<&'static str> {
    let known = BY_SPELLING.get(text).copied();
    known.or_else(|| BY_CONSONANTS.get(&consonants(text)).copied())
}

/// Returns the consonants of a word by their sound, with a mark for a vowel at the end.
fn consonants(word: &str) -> String {
    let mut key = String::new();
    let letters = word.as_bytes();
    for (place, letter) in letters.iter().enumerate() {
        let next = letters.get(place + 1).copied().unwrap_or(b' ');
        let sound = match letter {
            b'a' | b'e' | b'i' | b'o' | b'u' | b'y' | b'h' => continue,
            b'c' if next == b'h' => "s",
            b'c' if matches!(next, b'e' | b'i' | b'y') => "s",
            b'g' if matches!(next, b'e' | b'i' | b'y') => "s",
            b'c' | b'q' | b'g' => "k",
            b'x' => "ks",
            b'z' | b'j' => "s",
            // Tamil has one letter for the two.
            b'd' => "t",
            b'b' | b'f' => "p",
            b'w' => "v",
            _ => &word[place..=place],
        };
        if !key.ends_with(sound) {
            key.push_str(sound);
        }
    }
    if word.ends_with(['a', 'e', 'i', 'o', 'u', 'y']) && !word.ends_with('e') {
        key.push('+');
    }
    key
}

/// Whether one word shortens the other, a word of trade: its beginning, or some of its letters in their order (ENGG, INTL).
pub(super) fn shortens(short: &str, long: &str) -> bool {
    let is_trade = |word: &str| kind(word) == Some(Kind::Trade);
    short.len() >= 2
        && short.len() < long.len()
        && is_trade(long)
        && (!is_trade(short) || (short.len() >= 4 && long.starts_with(short)))
        && short.as_bytes()[0] == long.as_bytes()[0]
        && is_part(short, long)
}

/// Whether the letters of one word are letters of the other, in their order.
fn is_part(short: &str, long: &str) -> bool {
    let mut letters = long.bytes();
    short
        .bytes()
        .all(|letter| letters.any(|other| other == letter))
}

/// Whether a word of a firm is the other without some of its vowels: TRVLS, ENTRPRISES. In a person's name they separate Harsh from
/// Harish.
pub(super) fn drops_vowels(one: &str, other: &str) -> bool {
    let (short, long) = if one.len() < other.len() {
        (one, other)
    } else {
        (other, one)
    };
    let is_vowel = |byte: &u8| b"aeiou".contains(byte);
    let without = |word: &str| {
        word.bytes()
            .filter(|byte| !is_vowel(byte))
            .collect::<Vec<_>>()
    };
    short.len() >= 4
        && short.len() < long.len()
        && short.as_bytes().first() == long.as_bytes().first()
        && short.as_bytes().last() == long.as_bytes().last()
        && is_part(short, long)
        && without(short) == without(long)
}

/// Returns the legal form that a word names.
pub(super) fn form(text: &str) -> Option<Form> {
    Some(match text {
        "private" | "limited" | "pvtltd" | "opc" | "plc" | "incorporated" => Form::Company,
        "llp" => Form::Partnership,
        "trust" => Form::Trust,
        "society" | "samiti" => Form::Society,
        _ => return None,
    })
}

/// Whether the number after a word separates one part of a firm from another.
pub(super) fn is_numbered(text: &str) -> bool {
    matches!(
        text,
        "unit" | "plant" | "branch" | "phase" | "block" | "sector" | "ward" | "no" | "number"
    )
}

/// Returns the digits of a number: without leading zeros, Roman ones too.
pub(super) fn number(text: &str) -> Option<&str> {
    const ROMAN: [(&str, &str); 10] = [
        ("i", "1"),
        ("ii", "2"),
        ("iii", "3"),
        ("iv", "4"),
        ("v", "5"),
        ("vi", "6"),
        ("vii", "7"),
        ("viii", "8"),
        ("ix", "9"),
        ("x", "10"),
    ];
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let short = text.trim_start_matches('0');
        return Some(if short.is_empty() { "0" } else { short });
    }
    let found = ROMAN.iter().find(|(roman, _)| *roman == text);
    found.map(|(_, digits)| *digits)
}
