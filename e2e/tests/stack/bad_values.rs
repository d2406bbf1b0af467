//! Invalid values in both encodings: the error names the field, and nothing is stored.

use anyhow::Result;
use khata_e2e::{HttpReply, Setup, TestStack};
use serde_json::json;

use crate::errors::{assert_faults, assert_invalid, named_fields};

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
pub(crate) const GOOD: &str = "ifsc=AABF0008032&account_number=026291800001191";

/// One case per line: meaning | body | fields that the error must name. `<x*9>` means nine `x`, `<good>` the fields of a
/// valid account, `<item>` an item of a list, `<items*9>` nine of them.
const FORMS: &str = "
    an empty form                     |                                             | bank_account_details
    no account                        | bank_code=12&metadata.a=b                   | bank_account_details
    no ifsc                           | account_number=026291800001191              | ifsc
    no account number                 | ifsc=AABF0008032                            | account_number
    a name only                       | beneficiary_name=test                       | ifsc account_number
    an ifsc without its zero          | account_number=026291&ifsc=AABF1008032      | ifsc
    a short ifsc                      | account_number=026291&ifsc=AABF000803       | ifsc
    an empty ifsc                     | account_number=026291&ifsc=                 | ifsc
    an ifsc in full-width letters     | account_number=026291&ifsc=%EF%BC%A1ABF0008032 | ifsc
    a NUL in the ifsc                 | account_number=026291&ifsc=AABF000803%00    | ifsc
    spaces in the number              | ifsc=AABF0008032&account_number=0262+9180+0001 | account_number
    Devanagari digits                 | ifsc=AABF0008032&account_number=%E0%A5%A6%E0%A5%A8%E0%A5%AC%E0%A5%A8%E0%A5%AF | account_number
    a NUL in the number               | ifsc=AABF0008032&account_number=026291%00180 | account_number
    only NULs                         | ifsc=AABF0008032&account_number=%00%00%00%00%00 | account_number
    a masked number                   | ifsc=AABF0008032&account_number=XXXXXXXX1191 | account_number
    a number masked with stars        | ifsc=AABF0008032&account_number=****1191    | account_number
    a number of a spreadsheet         | ifsc=AABF0008032&account_number=2.62918E%2B14 | account_number
    an O in the ifsc                  | account_number=026291&ifsc=UTBIOKTLC32      | ifsc
    a hyphen in the number            | ifsc=AABF0008032&account_number=0262-9180   | account_number
    four characters of number         | ifsc=AABF0008032&account_number=1234        | account_number
    36 characters of number           | ifsc=AABF0008032&account_number=<1*36>      | account_number
    a blank name                      | <good>&beneficiary_name=+++                 | beneficiary_name
    121 characters of name            | <good>&beneficiary_name=<x*121>             | beneficiary_name
    an invisible name                 | <good>&beneficiary_name=%E2%80%8B           | beneficiary_name
    a name that was not filled in     | <good>&beneficiary_name=undefined           | beneficiary_name
    an object for a name              | <good>&beneficiary_name=[object+Object]     | beneficiary_name
    a name of question marks          | <good>&beneficiary_name=%3F%3F%3F           | beneficiary_name
    a bell in the name                | <good>&beneficiary_name=a%07b               | beneficiary_name
    a NUL in the name                 | <good>&beneficiary_name=a%00b               | beneficiary_name
    a bank code in letters            | <good>&bank_code=HDFC                       | bank_code
    an unfinished bank code           | <good>&bank_code=JP_                        | bank_code
    33 digits of bank code            | <good>&bank_code=<1*33>                     | bank_code
    a NUL in the bank code            | <good>&bank_code=JP_%00                     | bank_code
    a bad default bank code           | bank_code=x&bank_account_details=[<item>]   | bank_code
    no @                              | vpa=asha.upi                                | vpa
    two @                             | vpa=asha@ok@upi                             | vpa
    nothing before the @              | vpa=@upi                                    | vpa
    nothing after the @               | vpa=asha@                                   | vpa
    one character before the @        | vpa=a@upi                                   | vpa
    a handle that starts with a digit | vpa=asha@1upi                               | vpa
    a space in the address            | vpa=asha+rao@upi                            | vpa
    a NUL in the address              | vpa=asha%00@upi                             | vpa
    an address in Devanagari          | vpa=%E0%A4%86%E0%A4%B6%E0%A4%BE@upi         | vpa
    256 characters of address         | vpa=<a*252>@upi                             | vpa
    an empty address                  | vpa=                                        | bank_account_details
    an e-mail address                 | vpa=asha.rao@gmail.com                      | vpa
    a company's e-mail address        | vpa=accounts@acme.co.in                     | vpa
    a dot at the end of the handle    | vpa=asha@ybl.                               | vpa
    a masked address                  | vpa=XXXXXX6296@upi                          | vpa
    a masked number in an address     | vpa=XXXXXXXX1191@HDFC0000001.ifsc.npci      | vpa
    a short number in an address      | vpa=ab@HDFC0000001.ifsc.npci                | vpa
    two addresses in one              | vpa=asha@upi,ravi@upi                       | vpa
    a webhook URL without a scheme    | <good>&webhook_url=hooks.example/orders     | webhook_url
    a webhook URL with a password     | <good>&webhook_url=https://a:b@hooks.example/ | webhook_url
    a blank in the webhook URL        | <good>&webhook_url=https://hooks.example/a+b | webhook_url
    a private address as webhook URL  | <good>&webhook_url=https://10.0.0.1/        | webhook_url
    a field that does not exist       | <good>&beneficary_name=Asha                 | beneficary_name
    fields in another style           | ifscCode=AABF0008032&accountNumber=026291   | bank_account_details accountNumber ifscCode
    a field with brackets             | ifsc[]=AABF0008032&account_number=026291    | ifsc ifsc[]
    a field of another kind of item   | upi_details[0][vpa]=asha@upi&upi_details[0][ifsc]=x | upi_details[0].ifsc
    a member that consent has not     | <good>&consent[obtained]=true&consent[purpose]=p&consent[time]=2025-10-27T09:24:36Z | consent.timestamp consent.time
    a bank account and an address     | <good>&vpa=asha@upi                         | vpa
    flat fields beside a list         | <good>&upi_details=[{\"vpa\":\"asha@upi\"}] | ifsc account_number
    broken JSON in a field            | bank_account_details=[<item>                | bank_account_details
    no JSON in a field                | upi_details=asha@upi                        | upi_details
    an object for a list              | bank_account_details=<item>                 | bank_account_details
    an empty list                     | bank_account_details=[]                     | bank_account_details
    two empty lists                   | bank_account_details=[]&upi_details=[]      | bank_account_details
    101 accounts                      | bank_account_details=[<items*101>]          | bank_account_details
    101 of both kinds                 | bank_account_details=[<items*100>]&upi_details=[{\"vpa\":\"asha@upi\"}] | bank_account_details
    the same account twice            | bank_account_details=[<item>,<item>]        | bank_account_details[1]
    the same in another case          | upi_details=[{\"vpa\":\"asha@upi\"},{\"vpa\":\"ASHA@UPI\"}] | upi_details[1]
    a list in both forms              | bank_account_details=[<item>]&bank_account_details[0][ifsc]=AABF0008032 | bank_account_details
    items with different fields       | bank_account_details[][account_number]=026291&bank_account_details[][ifsc]=AABF0008032&bank_account_details[][beneficiary_name]=A&bank_account_details[][account_number]=026292&bank_account_details[][ifsc]=AABF0008032 | bank_account_details
    items with and without a number   | bank_account_details[0][ifsc]=AABF0008032&bank_account_details[0][account_number]=026291&bank_account_details[][beneficiary_name]=A | bank_account_details
    a number with a leading zero      | upi_details[0][vpa]=a1@upi&upi_details[00][vpa]=b1@upi | upi_details[00][vpa]
    a number left out                 | upi_details[0][vpa]=a1@upi&upi_details[2][vpa]=b1@upi | upi_details
    the same account in both kinds    | bank_account_details[0][ifsc]=AABF0008032&bank_account_details[0][account_number]=026291&upi_details[0][vpa]=026291@aabf0008032.ifsc.npci | upi_details[0]
    an index without a field          | upi_details[0]=asha@upi                     | upi_details[0]
    an index in letters               | upi_details[x][vpa]=asha@upi                | upi_details[x][vpa]
    a huge index                      | upi_details[<9*20>][vpa]=asha@upi           | upi_details[99999999999999999999][vpa]
    a field given twice               | <good>&ifsc=AABF0008033                     | ifsc
    no percent-encoding               | <good>&beneficiary_name=100%                | beneficiary_name
    no UTF-8                          | <good>&beneficiary_name=%ff%fe              | beneficiary_name
    a gateway in letters              | <good>&gateway_id=CASHFREE                  | gateway_id
    gateway 0                         | <good>&gateway_id=0                         | gateway_id
    a negative gateway                | <good>&gateway_id=-70                       | gateway_id
    a gateway beyond numbers          | <good>&gateway_id=7<0*20>                   | gateway_id
    a gateway reference alone         | <good>&gateway_reference_id=cashfree_e2e    | gateway_reference_id
    a blank gateway reference         | <good>&gateway_id=70&gateway_reference_id=+ | gateway_reference_id
    an empty metadata key             | <good>&metadata.=x                          | metadata.
    a list in metadata                | <good>&metadata[a][]=x                      | metadata[a][]
    metadata as an object's text      | <good>&metadata=[object+Object]             | metadata
    metadata in Python's notation     | <good>&metadata={'a':'b'}                   | metadata
    a long metadata value             | <good>&metadata.a=<x*501>                   | metadata.a
    a NUL in metadata                 | <good>&metadata.a=x%00y                     | metadata.a
    half a consent                    | <good>&consent.obtained=true                | consent.purpose consent.timestamp
    a consent of another kind         | <good>&consent.obtained=yes&consent.purpose=p&consent.timestamp=yesterday | consent.obtained consent.timestamp
    a consent of tomorrow             | <good>&consent.obtained=true&consent.purpose=p&consent.timestamp=2999-01-01T00:00:00Z | consent.timestamp
    fresh as a number                 | <good>&fresh=1                              | fresh
    a consent of 1970                 | <good>&consent.obtained=true&consent.purpose=p&consent.timestamp=1970-01-01T00:00:00Z | consent.timestamp
    a consent of 2015                 | <good>&consent.obtained=true&consent.purpose=p&consent.timestamp=2015-12-31T23:59:59Z | consent.timestamp
    a lost plus                       | <good>&consent.obtained=true&consent.purpose=p&consent.timestamp=2025-10-27T09:24:36+05:30 | consent.timestamp
    JSON                              | {\"ifsc\":\"AABF0008032\"}                  | body
    many faults at once               | bank_account_details=[<item>,{\"ifsc\":\"x\",\"account_number\":\"y\"},7]&upi_details=[{}]&gateway_id=x&consent.obtained=true | bank_account_details[1].ifsc bank_account_details[1].account_number bank_account_details[2] upi_details[0].vpa gateway_id consent.purpose consent.timestamp
";

/// The same for JSON bodies; `\\u` is JSON's escape.
const BODIES: &str = r#"
    nothing                           |                                             | bank_account_details
    broken JSON                       | {"ifsc":                                    | body
    a list                            | []                                          | body
    a string                          | "ifsc"                                      | body
    nesting without end               | <[*100000>                                  | body
    half a surrogate                  | {"beneficiary_name":"\ud800"}               | body
    an empty object                   | {}                                          | bank_account_details
    a number for a number             | {"ifsc":"AABF0008032","account_number":26291800001191} | account_number
    a NUL in the number               | {"ifsc":"AABF0008032","account_number":"0262\u00009180"} | account_number
    full-width digits                 | {"ifsc":"AABF0008032","account_number":"０２６２９１"} | account_number
    a null ifsc                       | {"ifsc":null,"account_number":"026291"}     | ifsc
    a nested ifsc                     | {"ifsc":{"code":"AABF0008032"},"account_number":"026291"} | ifsc
    a list of strings                 | {"upi_details":["asha@upi"]}                | upi_details[0]
    a list as text                    | {"upi_details":"[]"}                        | upi_details
    101 faulty items                  | {"upi_details":[<{},*100>{}]}               | upi_details
    80,000 faulty items               | {"upi_details":[<{},*80000>{}]}             | body
    a member that does not exist      | {"vpa":"asha@upi","waitSeconds":5}          | waitSeconds
    a member that an item has not     | {"bank_account_details":[{"ifsc":"AABF0008032","account_number":"026291","name":"A"}]} | bank_account_details[0].name
    a member that consent has not     | {"vpa":"asha@upi","consent":{"obtained":true,"purpose":"p","timestamp":"2025-10-27T09:24:36Z","ip":"x"}} | consent.ip
    a member twice                    | {"ifsc":"AABF0008032","account_number":"026291","account_number":"026292"} | account_number
    a member of an item twice         | {"upi_details":[{"vpa":"a1@upi","vpa":"b1@upi"}]} | upi_details[0].vpa
    a form                            | ifsc=AABF0008032&account_number=026291      | body
    an object within a string         | "{\"vpa\":\"asha@upi\"}"                    | body
    a broken gateway                  | {"vpa":"asha@upi","gateway_id":70.5}        | gateway_id
    fresh as a number                 | {"vpa":"asha@upi","fresh":1}                | fresh
    metadata that is no object        | {"vpa":"asha@upi","metadata":"x"}           | metadata
    metadata with a number            | {"vpa":"asha@upi","metadata":{"n":1}}       | metadata.n
    metadata with a NUL key           | {"vpa":"asha@upi","metadata":{"a\u0000b":"x"}} | metadata.ab
    a consent that is no object       | {"vpa":"asha@upi","consent":true}           | consent
    an empty consent time             | {"vpa":"asha@upi","consent":{"obtained":true,"purpose":"p","timestamp":""}} | consent.timestamp
"#;

/// Starts a stack without workers, so that accounts keep their first status.
pub(crate) async fn stack() -> Result<TestStack> {
    let setup = Setup {
        workers: 0,
        traces: true,
        ..Setup::default()
    };
    TestStack::start(setup).await
}

pub(crate) async fn post(
    stack: &TestStack,
    content_type: &str,
    body: impl Into<Vec<u8>>,
) -> Result<HttpReply> {
    let request = stack.api.creation("bad");
    let request = request
        .header("content-type", content_type)
        .body(body.into());
    stack.api.send(request).await
}

fn expand(template: &str) -> String {
    let item = |number: usize| format!(r#"{{"ifsc":"AABF0008032","account_number":"{number}"}}"#);
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, inside)) = rest.split_once('<') {
        let (name, after) = inside.split_once('>').unwrap();
        text.push_str(before);
        match name.split_once('*') {
            None if name == "good" => text.push_str(GOOD),
            None => text.push_str(&item(10_000_000)),
            Some(("items", count)) => {
                let items: Vec<_> = (0..count.parse().unwrap())
                    .map(|n| item(10_000_000 + n))
                    .collect();
                text.push_str(&items.join(","));
            }
            Some((piece, count)) => text.push_str(&piece.repeat(count.parse().unwrap())),
        }
        rest = after;
    }
    text + rest
}

/// Sends every body, and prints those whose errors do not name exactly these fields.
async fn assert_every_fault_is_named(content_type: &str, table: &str) -> Result<()> {
    let stack = stack().await?;
    let mut wrong = Vec::new();
    for line in table.lines().filter(|line| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [what, body, fields] = cells[..] else {
            panic!("{line}")
        };
        let reply = post(&stack, content_type, expand(body)).await?;
        assert_invalid(what, &reply);
        let (named, expected) = (named_fields(&reply), fields.split(' ').collect::<Vec<_>>());
        if named != expected {
            let count = named.len();
            let first = &named[..count.min(9)];
            wrong.push(format!(
                "{what}: {count} faults, {first:?}, instead of {expected:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(stack.database.row_counts()?, [0, 0, 0]);
    Ok(())
}

#[tokio::test]
async fn every_invalid_form_field_is_listed() -> Result<()> {
    assert_every_fault_is_named(FORM, FORMS).await
}

#[tokio::test]
async fn every_invalid_json_field_is_listed() -> Result<()> {
    assert_every_fault_is_named(JSON, BODIES).await
}

#[tokio::test]
async fn further_invalid_values_are_rejected() -> Result<()> {
    let stack = stack().await?;
    let none = stack.api.send(stack.api.creation("bad")).await?;
    assert_faults("no body at all", &none, &["bank_account_details"]);
    let bytes = b"{\"ifsc\":\"\xff\xfe\"}".to_vec();
    assert_faults("no UTF-8", &post(&stack, JSON, bytes).await?, &["body"]);
    let with = |metadata| json!({"vpa": "asha@upi", "metadata": metadata}).to_string();
    let key = "k".repeat(41);
    let long_key = with(json!({ key: "x" }));
    // The error holds the part of the key that fits.
    let named = format!("metadata.{}", "k".repeat(40));
    assert_faults(
        "a long key",
        &post(&stack, JSON, long_key).await?,
        &[&named],
    );
    let many: serde_json::Map<_, _> = (0..21).map(|n| (format!("k{n}"), json!("v"))).collect();
    let reply = post(&stack, JSON, with(many.into())).await?;
    assert_faults("21 members", &reply, &["metadata"]);
    assert_eq!(stack.database.row_counts()?, [0, 0, 0]);
    Ok(())
}
