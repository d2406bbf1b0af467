//! Tables of the pages under `docs/` that show facts from the connectors' folders. Run the tests with KHATA_UPDATE_PAGES=1 to
//! write the tables.

use std::fmt::Write;
use std::path::Path;

use khata_gateways::{COMMON_SETTINGS, CredentialInfo, SettingInfo, all};

/// Checks that the page holds this table between `<!-- name -->` and `<!-- /name -->`, or writes it.
fn check(page: &str, name: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (head, rest) = text.split_once(&start).expect("the page has the marks");
    let (found, tail) = rest.split_once(&end).expect("the page has the end mark");
    if found != table && std::env::var_os("KHATA_UPDATE_PAGES").is_some() {
        std::fs::write(path, [head, &start, table, &end, tail].concat()).unwrap();
        return;
    }
    assert_eq!(found, table, "docs/{page}: run with KHATA_UPDATE_PAGES=1");
}

fn settings(settings: &[SettingInfo]) -> String {
    let one = |setting: &SettingInfo| {
        let SettingInfo {
            name,
            meaning,
            default,
        } = setting;
        format!("`{name}`: {meaning} (default: {default})")
    };
    join(settings.iter().map(one))
}

fn credentials(credentials: &[CredentialInfo]) -> String {
    let one = |credential: &CredentialInfo| {
        let optional = if credential.required {
            ""
        } else {
            ", optional"
        };
        format!("`{}`{optional}: {}", credential.name, credential.meaning)
    };
    join(credentials.iter().map(one))
}

fn join(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    if items.is_empty() {
        "–".into()
    } else {
        items.join("<br>")
    }
}

#[test]
fn the_page_of_gateways_lists_every_gateway() {
    let mut table =
        "| id | gateway | methods | after a lost response | webhooks | hosts |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for info in all() {
        let (id, name) = (info.gateway.id(), info.gateway.name());
        let webhooks = info.webhooks.unwrap_or("no");
        let hosts = join(info.hosts().into_iter().map(|host| format!("`{host}`")));
        let cells = [info.validation, info.recovery, webhooks, hosts.as_str()].join(" | ");
        writeln!(table, "| {id} | {name} | {cells} |").unwrap();
    }
    check("gateways.md", "gateways", &table);
}

#[test]
fn the_page_of_gateways_lists_every_common_setting() {
    let mut table = "| setting | meaning | default |\n|---|---|---|\n".to_owned();
    for setting in COMMON_SETTINGS {
        let cells = [setting.meaning, setting.default].join(" | ");
        writeln!(table, "| `{}` | {cells} |", setting.name).unwrap();
    }
    check("gateways.md", "settings", &table);
}

#[test]
fn the_page_for_new_gateways_lists_methods_credentials_and_settings() {
    let mut table =
        "| gateway | methods | credentials | settings of its own |\n|---|---|---|---|\n".to_owned();
    for info in all() {
        let methods = info.methods.iter();
        let methods: Vec<_> = methods.map(|method| format!("`{method}`")).collect();
        let cells = [
            methods.join(", "),
            credentials(info.credentials),
            settings(info.settings),
        ];
        writeln!(table, "| {} | {} |", info.gateway, cells.join(" | ")).unwrap();
    }
    check("adding-a-gateway.md", "gateways", &table);
}

#[test]
fn a_text_of_a_gateway_fits_into_a_table() {
    let common = COMMON_SETTINGS.iter();
    let mut texts: Vec<_> = common.map(|setting| setting.meaning).collect();
    for info in all() {
        texts.extend([info.validation, info.recovery]);
        texts.extend(info.webhooks);
        texts.extend(info.credentials.iter().map(|member| member.meaning));
        texts.extend(info.settings.iter().map(|setting| setting.meaning));
        assert_eq!(khata_gateways::info(info.gateway).gateway, info.gateway);
    }
    for text in texts {
        assert!(!text.contains(['|', '\n']) && !text.is_empty(), "{text}");
    }
}
