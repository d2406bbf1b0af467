//! A keyring that a transit engine encrypts: the services and the operator's commands decrypt it at their start.

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{Setup, TIMEOUT, TestStack, TransitEngine, eventually};
use serde_json::Value;

#[tokio::test]
async fn a_transit_engine_encrypts_the_keyring_and_the_services_decrypt_it() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let created = stack.api.create("transit", &[("vpa", "asha@okhdfcbank")]);
    let created = created.await?.account()?;
    let engine = TransitEngine::start(stack.folder()).await?;
    let operator = engine.token(&["encrypt", "decrypt"]).await?;
    let operator = stack.write_file("operator.token", &operator)?;
    // With a line break, as an agent or an editor writes it.
    let services = format!("{}\n", engine.token(&["decrypt"]).await?);
    let services = stack.write_file("services.token", &services)?;
    let file = stack.folder().join("encrypted.json");
    let file = file.to_str().unwrap().to_owned();
    let as_operator = ["--vault-url", &engine.url, "--vault-token-file", &operator];
    let as_service = ["--vault-url", &engine.url, "--vault-token-file", &services];
    let keyring = ["--keyring-file", &file];

    let encrypt = ["keyring", "encrypt", "--output", &file];
    stack.command(&[&encrypt[..], &as_operator].concat())?;
    let stored = std::fs::read_to_string(&file)?;
    assert!(stored.contains("\"ciphertext\": \"vault:v1:"), "{stored}");
    let plain: Value = serde_json::from_str(&std::fs::read_to_string(stack.keyring_file())?)?;
    assert!(!stored.contains(text(&plain, "/fingerprint")), "{stored}");

    // A change of the keyring is encrypted, too, and needs the right to encrypt.
    let add = ["keyring", "add", "--output", &file, "--force"];
    let add = [&add[..], &keyring].concat();
    let refused = stack.try_command(&[&add[..], &as_service].concat())?;
    assert!(refused.stderr.contains("permission denied"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&file)?, stored);
    stack.command(&[&add[..], &as_operator].concat())?;
    let show = [&["keyring", "show", "--json"], &keyring[..]].concat();
    let shown = stack.command(&[&show[..], &as_service].concat())?;
    let shown: Value = serde_json::from_str(&shown)?;
    assert_eq!(
        shown["sealing"].as_array().map(Vec::len),
        Some(2),
        "{shown}"
    );
    assert!(std::fs::read_to_string(&file)?.contains("vault:v1:"));

    // For the copy that is kept offline.
    let decrypt = [&["keyring", "decrypt"], &keyring[..], &as_service].concat();
    let copy: Value = serde_json::from_str(&stack.command(&decrypt)?)?;
    assert_eq!(copy["fingerprint"], plain["fingerprint"]);
    assert_eq!(copy["sealing"].as_array().map(Vec::len), Some(2));

    // Without the engine the keyring is of no use.
    let alone = stack.try_command(&show)?;
    assert!(alone.stderr.contains("KHATA_VAULT_URL"), "{alone:?}");

    // An API that decrypts it knows the merchant's key and decrypts the account.
    let port_file = stack.folder().join("transit.port");
    let api = stack.start_program(
        "khata-api",
        &["serve"],
        &[
            ("KHATA_KEYRING_FILE", Some(&file)),
            ("KHATA_VAULT_URL", Some(&engine.url)),
            ("KHATA_VAULT_TOKEN_FILE", Some(&services)),
            // A call by this proxy would fail: its port is closed.
            ("HTTP_PROXY", Some("http://127.0.0.1:1")),
            ("http_proxy", Some("http://127.0.0.1:1")),
            ("ALL_PROXY", Some("http://127.0.0.1:1")),
            ("KHATA_LISTEN", Some("127.0.0.1:0")),
            ("KHATA_PORT_FILE", port_file.to_str()),
        ],
    )?;
    let port = eventually(TIMEOUT, "the API's port", async || {
        anyhow::Ok(std::fs::read_to_string(&port_file)?.parse::<u16>().ok())
    })
    .await?;
    let id = text(&created, "/id");
    let url = format!("http://127.0.0.1:{port}/customers/transit/customer-accounts/{id}");
    let call = reqwest::Client::builder().no_proxy().build()?.get(url);
    let reply = call.basic_auth(&stack.api.key, Some("")).send().await?;
    let account: Value = serde_json::from_str(&reply.text().await?)?;
    assert_eq!(
        account["account_details"],
        created["account_details"],
        "{}",
        api.log()
    );
    Ok(())
}
