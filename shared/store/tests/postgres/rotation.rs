//! Key rotation: during writes, interrupted, concurrently, and its lines in the audit log.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{Binary, Jsonb, Uuid as SqlUuid};
use khata_crypto::{Keyring, KeyringFile, Purpose, key_id};
use khata_domain::{GatewayAccountId, MerchantId};
use khata_store::audit::Actor;
use khata_store::gateway_accounts::{self, NewGatewayAccount};
use khata_store::rotation::{Rotation, SealedColumn, StepResult, count_by_key, keys_in_use};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::rows::{call, create, merchant};
use khata_testing::Database;
use khata_testing::database::number;

/// Two keyrings with the same keys: one encrypts with the first, the other with the second.
fn keyrings() -> (Keyring, Keyring) {
    let (file, _) = KeyringFile::generate().with_new_key().unwrap();
    (Keyring::from(&file), Keyring::from(&file.promoted()))
}

const DELIVERY: &str = "uuid_send(endpoint_id) || uuid_send(subject_id) || int4send(version)";
const ATTEMPT: &str =
    "uuid_send(endpoint_id) || uuid_send(subject_id) || int4send(version) || int2send(number)";

/// An encrypted value with its row.
#[derive(Clone, Debug)]
struct Value {
    column: SealedColumn,
    merchant: MerchantId,
    /// The row's primary key after the merchant.
    key: Vec<u8>,
    subject: Uuid,
    plain: String,
}

#[derive(QueryableByName)]
struct SealedRow {
    #[diesel(sql_type = Binary)]
    sealed: Vec<u8>,
}

impl Value {
    fn names(&self) -> (&'static str, &'static str, Purpose) {
        match self.column {
            SealedColumn::Credentials => {
                ("sealed_credentials", "uuid_send(id)", Purpose::Credentials)
            }
            SealedColumn::Contacts => ("sealed_contact", "uuid_send(id)", Purpose::Contact),
            SealedColumn::Details => ("sealed_details", "uuid_send(id)", Purpose::Details),
            SealedColumn::Results => ("sealed_result", "uuid_send(id)", Purpose::ValidationResult),
            SealedColumn::Webhooks => ("sealed_answer", "digest", Purpose::Webhook),
            SealedColumn::Replies => ("sealed_answer", "key_hash", Purpose::Reply),
            SealedColumn::Endpoints => ("sealed_settings", "uuid_send(id)", Purpose::Endpoint),
            SealedColumn::AccountUrls => {
                ("sealed_webhook_url", "uuid_send(id)", Purpose::AccountUrl)
            }
            SealedColumn::DeliveryBodies => ("sealed_body", DELIVERY, Purpose::Delivery),
            SealedColumn::DeliveryReplies => ("sealed_reply", DELIVERY, Purpose::Delivery),
            SealedColumn::AttemptReplies => ("sealed_reply", ATTEMPT, Purpose::Delivery),
        }
    }

    fn seal(&self, keyring: &Keyring) -> Vec<u8> {
        let plain = self.plain.as_bytes();
        keyring.encrypt(self.merchant, self.subject, self.names().2, plain)
    }

    fn put(&self, connection: &mut PgConnection, sealed: &[u8]) {
        let (column, key, _) = self.names();
        let table = self.column.table();
        let changed = diesel::sql_query(format!(
            "update {table} set {column} = $1 where merchant_id = $2 and ({key}) = $3"
        ))
        .bind::<Binary, _>(sealed)
        .bind::<SqlUuid, _>(self.merchant.0)
        .bind::<Binary, _>(&self.key)
        .execute(connection)
        .unwrap();
        assert_eq!(changed, 1, "{self:?}");
    }

    fn sealed(&self, connection: &mut PgConnection) -> Vec<u8> {
        let (column, key, _) = self.names();
        let table = self.column.table();
        diesel::sql_query(format!(
            "select {column} as sealed from {table} where merchant_id = $1 and ({key}) = $2"
        ))
        .bind::<SqlUuid, _>(self.merchant.0)
        .bind::<Binary, _>(&self.key)
        .get_result::<SealedRow>(connection)
        .unwrap()
        .sealed
    }

    /// Asserts that this key encrypted the value, and that the plaintext is unchanged.
    fn assert_under(&self, connection: &mut PgConnection, keyring: &Keyring, key: u32) {
        let sealed = self.sealed(connection);
        assert_eq!(key_id(&sealed), Some(key), "{self:?}");
        let opened = keyring.decrypt(self.merchant, self.subject, self.names().2, &sealed);
        assert_eq!(
            opened.unwrap().as_slice(),
            self.plain.as_bytes(),
            "{self:?}"
        );
    }
}

/// Accounts of one merchant and one value of every other column, encrypted.
fn fill(
    connection: &mut PgConnection,
    keyring: &Keyring,
    merchant: MerchantId,
    accounts: usize,
) -> Vec<Value> {
    let seeds: Vec<String> = (0..accounts).map(|n| format!("account {n}")).collect();
    let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
    let call = call(merchant, "customer_1122", &seeds);
    create(connection, std::slice::from_ref(&call));
    let value = |column, id: Uuid, plain: &str| Value {
        column,
        merchant,
        key: id.as_bytes().to_vec(),
        subject: id,
        plain: plain.to_owned(),
    };
    let mut values: Vec<Value> = call
        .accounts
        .iter()
        .zip(&seeds)
        .map(|(account, seed)| value(SealedColumn::Details, account.id.0, seed))
        .collect();
    values.push(Value {
        subject: call.accounts[0].id.0,
        ..value(
            SealedColumn::Results,
            call.accounts[0].validation.0,
            "result",
        )
    });
    let gateway = NewGatewayAccount {
        id: GatewayAccountId::new(),
        gateway_id: 70,
        reference_id: "main",
        priority: 1,
        pinned_only: false,
        base_url: None,
        settings: &json!({}),
    };
    gateway_accounts::insert(connection, merchant, &gateway, None).unwrap();
    values.push(value(
        SealedColumn::Credentials,
        gateway.id.0,
        "credentials",
    ));
    let customer = Uuid::now_v7();
    diesel::sql_query(
        "insert into customers (merchant_id, id, object_reference_id) values ($1, $2, 'with_contact')",
    )
    .bind::<SqlUuid, _>(merchant.0)
    .bind::<SqlUuid, _>(customer)
    .execute(connection)
    .unwrap();
    values.push(value(SealedColumn::Contacts, customer, "contact"));
    let validation = call.accounts[0].validation.0;
    let digest: [u8; 32] = Sha256::digest(validation.as_bytes()).into();
    diesel::sql_query(
        "insert into gateway_notices (merchant_id, digest, validation_id, number) values ($1, $2, $3, 1)",
    )
    .bind::<SqlUuid, _>(merchant.0)
    .bind::<Binary, _>(&digest[..])
    .bind::<SqlUuid, _>(validation)
    .execute(connection)
    .unwrap();
    values.push(Value {
        key: digest.to_vec(),
        ..value(SealedColumn::Webhooks, validation, "notice")
    });
    let key_hash = keyring.request_digest(merchant, &[b"key"]);
    diesel::sql_query(
        "insert into idempotency_records
            (merchant_id, key_hash, request_hash, account_ids, answer_form, running_until, expires_at)
         values ($1, $2, $2, '{}', 'LIST', now(), now() + interval '1 day')",
    )
    .bind::<SqlUuid, _>(merchant.0)
    .bind::<Binary, _>(key_hash.as_slice())
    .execute(connection)
    .unwrap();
    values.push(Value {
        column: SealedColumn::Replies,
        merchant,
        key: key_hash.to_vec(),
        subject: Uuid::from_slice(&key_hash[..16]).unwrap(),
        plain: "answer".into(),
    });
    let (endpoint, event) = (Uuid::now_v7(), Uuid::now_v7());
    let account = call.accounts[0].id.0;
    for insert in [
        "insert into webhook_endpoints (merchant_id, id, url, sealed_settings, payload, concurrency)
         select $1, $2, 'https://shop.example', '', 'FULL', 1 where $3 is not null and $4 is not null",
        "insert into webhook_deliveries (merchant_id, endpoint_id, subject_id, version, event_id, state, due_at, created_at)
         values ($1, $2, $3, 1, $4, 'OPEN', now(), now())",
        "insert into webhook_attempts (merchant_id, endpoint_id, subject_id, version, number, event_id, started_at, failure)
         values ($1, $2, $3, 1, 1, $4, now(), 'status')",
    ] {
        diesel::sql_query(insert)
            .bind::<SqlUuid, _>(merchant.0)
            .bind::<SqlUuid, _>(endpoint)
            .bind::<SqlUuid, _>(account)
            .bind::<SqlUuid, _>(event)
            .execute(connection)
            .unwrap();
    }
    values.push(value(SealedColumn::Endpoints, endpoint, "settings"));
    // Not the first account, whose row a test locks.
    let last = call.accounts.last().unwrap().id.0;
    values.push(value(SealedColumn::AccountUrls, last, "url"));
    let delivery = [
        endpoint.as_bytes(),
        account.as_bytes(),
        &1_i32.to_be_bytes()[..],
    ]
    .concat();
    let attempt = [&delivery[..], &1_i16.to_be_bytes()].concat();
    for (column, key, plain) in [
        (SealedColumn::DeliveryBodies, &delivery, "body"),
        (SealedColumn::DeliveryReplies, &delivery, "ok"),
        (SealedColumn::AttemptReplies, &attempt, "not ok"),
    ] {
        values.push(Value {
            column,
            merchant,
            key: key.clone(),
            subject: event,
            plain: plain.into(),
        });
    }
    for value in &values {
        value.put(connection, &value.seal(keyring));
    }
    values
}

fn actor() -> Actor {
    Actor::parse("asha").unwrap()
}

/// Steps until the rotation is done.
fn rotate(connection: &mut PgConnection, keyring: &Keyring, batch: u32) -> (u64, usize, u64) {
    let actor = actor();
    let mut rotation = Rotation::new(keyring, &actor, batch);
    finish(&mut rotation, connection);
    let resealed = rotation.reencrypted.values().sum();
    (resealed, rotation.undecryptable.len(), rotation.busy)
}

fn finish(rotation: &mut Rotation<'_>, connection: &mut PgConnection) {
    let began = Instant::now();
    loop {
        match rotation.step(connection).unwrap() {
            StepResult::Batch => {}
            StepResult::Busy => std::thread::sleep(Duration::from_millis(5)),
            StepResult::Done => return,
        }
        assert!(began.elapsed() < Duration::from_secs(30), "it does not end");
    }
}

#[derive(QueryableByName)]
struct Audited {
    #[diesel(sql_type = Jsonb)]
    detail: serde_json::Value,
}

/// Reads the audit log's lines of rotations, the oldest first.
fn audited(connection: &mut PgConnection, merchant: MerchantId) -> Vec<serde_json::Value> {
    let rows: Vec<Audited> = diesel::sql_query(
        "select detail from audit_log where merchant_id = $1 and action = 'keyring.rotate' order by id",
    )
    .bind::<SqlUuid, _>(merchant.0)
    .load(connection)
    .unwrap();
    rows.into_iter().map(|row| row.detail).collect()
}

/// Adds up the lines' values by table.
fn total(lines: &[serde_json::Value]) -> serde_json::Value {
    let mut total = serde_json::Map::new();
    for line in lines {
        for (table, count) in line["resealed"].as_object().unwrap() {
            let sum = total.get(table).and_then(serde_json::Value::as_u64);
            let sum = sum.unwrap_or(0) + count.as_u64().unwrap();
            total.insert(table.clone(), sum.into());
        }
    }
    total.into()
}

#[test]
fn every_sealed_column_is_reencrypted_once() {
    let database = Database::new();
    let mut connection = database.connect();
    let (old, new) = keyrings();
    let (one, two, idle) = (
        merchant(&mut connection, "one"),
        merchant(&mut connection, "two"),
        merchant(&mut connection, "idle"),
    );
    let mut values = fill(&mut connection, &old, one, 23);
    values.extend(fill(&mut connection, &old, two, 5));
    let already = fill(&mut connection, &new, idle, 3);
    let before: Vec<_> = already
        .iter()
        .map(|value| value.sealed(&mut connection))
        .collect();
    let sealed = |connection: &mut PgConnection, column| count_by_key(connection, column).unwrap();
    let of_accounts = sealed(&mut connection, SealedColumn::Details);
    assert_eq!(of_accounts, [(Some(1), 28), (Some(2), 3)].into());

    assert_eq!(rotate(&mut connection, &new, 4), (48, 0, 0));

    for value in &values {
        value.assert_under(&mut connection, &new, 2);
    }
    let after: Vec<_> = already
        .iter()
        .map(|value| value.sealed(&mut connection))
        .collect();
    assert_eq!(before, after, "what the primary sealed is left as it is");
    for column in SealedColumn::ALL {
        let keys: Vec<_> = sealed(&mut connection, column).into_keys().collect();
        assert_eq!(keys, [Some(2)], "{}", column.table());
    }
    let tables = |accounts| {
        json!({"customer_accounts": accounts, "validations": 1, "gateway_accounts": 1, "customers": 1,
            "gateway_notices": 1, "idempotency_records": 1, "webhook_endpoints": 1, "webhook_deliveries": 2,
            "webhook_attempts": 1})
    };
    let lines = audited(&mut connection, one);
    assert_eq!(total(&lines), tables(24));
    for line in &lines {
        assert_eq!(
            line["changes"],
            json!({"key": {"from": "another", "to": 2}})
        );
    }
    assert_eq!(total(&audited(&mut connection, two)), tables(6));
    assert_eq!(
        audited(&mut connection, idle),
        Vec::<serde_json::Value>::new()
    );

    assert_eq!(rotate(&mut connection, &new, 200), (0, 0, 0));
    assert_eq!(
        audited(&mut connection, one),
        lines,
        "no work, no line in the audit log"
    );
}

#[test]
fn a_killed_rotation_continues() {
    let database = Database::new();
    let mut connection = database.connect();
    let (old, new) = keyrings();
    let one = merchant(&mut connection, "one");
    let values = fill(&mut connection, &old, one, 50);
    let left = |connection: &mut PgConnection| {
        number(
            connection,
            "select count(*) from customer_accounts where substring(sealed_details from 2 for 4) = '\\x00000001'",
        )
    };

    let actor = actor();
    let mut killed = Rotation::new(&new, &actor, 10);
    let mut theirs = database.connect();
    while left(&mut connection) > 20 {
        killed.step(&mut theirs).unwrap();
    }
    let done: u64 = killed.reencrypted.values().sum();
    // The connection breaks in the middle of a batch: the batch is rolled back, with its line of the audit log.
    let died = theirs.transaction(|theirs| {
        killed.step(theirs)?;
        theirs.batch_execute("select pg_terminate_backend(pg_backend_pid())")
    });
    assert!(died.is_err());
    drop((killed, theirs));
    assert_eq!(left(&mut connection), 20);
    let lines = audited(&mut connection, one);
    let of_table = |lines: &serde_json::Value| -> u64 {
        let tables = lines["resealed"].as_object().unwrap().values();
        tables.map(|count| count.as_u64().unwrap()).sum()
    };
    assert_eq!(lines.iter().map(of_table).sum::<u64>(), done);

    let (resealed, broken, busy) = rotate(&mut connection, &new, 10);
    assert_eq!((resealed + done, broken, busy), (60, 0, 0));
    for value in &values {
        value.assert_under(&mut connection, &new, 2);
    }
    let lines = audited(&mut connection, one);
    assert_eq!(lines.iter().map(of_table).sum::<u64>(), 60);
}

#[test]
fn concurrent_writes_are_never_overwritten() {
    let database = Database::new();
    let mut connection = database.connect();
    let (old, new) = keyrings();
    let one = merchant(&mut connection, "one");
    let values = fill(&mut connection, &old, one, 60);
    let accounts: Vec<Value> = values
        .iter()
        .filter(|value| value.column == SealedColumn::Details)
        .cloned()
        .collect();
    let opened = |connection: &mut PgConnection, value: &Value| {
        let sealed = value.sealed(connection);
        let opened = new.decrypt(one, value.subject, Purpose::Details, &sealed);
        String::from_utf8(opened.unwrap().to_vec()).unwrap()
    };
    let (stop, rounds) = (AtomicBool::new(false), AtomicU32::new(0));
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            // Half of the writes use the old key, as a process that was not restarted.
            let mut connection = database.connect();
            let mut written = accounts.clone();
            for round in 0.. {
                for (place, value) in written.iter_mut().enumerate() {
                    // The value is the last one written, with either key.
                    assert_eq!(opened(&mut connection, value), value.plain);
                    let keyring = if place % 2 == 0 { &old } else { &new };
                    value.plain = format!("round {round} of {place}");
                    value.put(&mut connection, &value.seal(keyring));
                }
                rounds.store(round, Ordering::SeqCst);
                if stop.load(Ordering::SeqCst) {
                    return written;
                }
            }
            unreachable!()
        });
        let mut connection = database.connect();
        // Until some values were written with the old key again, and encrypted again.
        let (mut resealed, began) = (0, Instant::now());
        while rounds.load(Ordering::SeqCst) < 3 || resealed <= 64 {
            resealed += rotate(&mut connection, &new, 7).0;
            assert!(began.elapsed() < Duration::from_secs(30), "{resealed}");
        }
        stop.store(true, Ordering::SeqCst);
        writer.join().unwrap()
    });
    for value in &written {
        assert_eq!(opened(&mut connection, value), value.plain);
    }
    rotate(&mut connection, &new, 7);
    for value in &written {
        value.assert_under(&mut connection, &new, 2);
    }
}

#[test]
fn a_rotation_does_not_wait_for_locked_rows() {
    let database = Database::new();
    let mut connection = database.connect();
    let (old, new) = keyrings();
    let one = merchant(&mut connection, "one");
    let values = fill(&mut connection, &old, one, 9);
    let held = values
        .iter()
        .find(|value| value.column == SealedColumn::Details)
        .unwrap();
    let mut holder = database.connect();
    holder.batch_execute("begin").unwrap();
    held.put(&mut holder, &held.seal(&old));

    connection.batch_execute("set lock_timeout = '2s'").unwrap();
    let began = Instant::now();
    let actor = actor();
    let mut rotation = Rotation::new(&new, &actor, 200);
    let mut lookup_by_repetition = 0;
    loop {
        match rotation.step(&mut connection).unwrap() {
            StepResult::Busy => lookup_by_repetition += 1,
            StepResult::Batch => {}
            StepResult::Done => break,
        }
    }
    assert!(began.elapsed() < Duration::from_secs(30), "it waited");
    assert!(
        lookup_by_repetition > 3,
        "looked again {lookup_by_repetition} times"
    );
    assert_eq!(rotation.busy, 1);
    assert_eq!(rotation.reencrypted.values().sum::<u64>(), 18);
    holder.batch_execute("commit").unwrap();
    assert_eq!(rotate(&mut connection, &new, 200), (1, 0, 0));
    for value in &values {
        value.assert_under(&mut connection, &new, 2);
    }
}

#[test]
fn undecryptable_values_are_listed_and_unchanged() {
    let database = Database::new();
    let mut connection = database.connect();
    let (old, new) = keyrings();
    let one = merchant(&mut connection, "one");
    let values = fill(&mut connection, &old, one, 9);
    let of = |column| values.iter().filter(move |value| value.column == column);
    let damaged: Vec<&Value> = of(SealedColumn::Details)
        .take(2)
        .chain(of(SealedColumn::Replies))
        .collect();
    let mut altered = damaged[0].sealed(&mut connection);
    *altered.last_mut().unwrap() ^= 1;
    // Another account's value in this row, and a value that is too short.
    let theirs = of(SealedColumn::Details)
        .nth(5)
        .unwrap()
        .sealed(&mut connection);
    let put = [altered, theirs, vec![1, 0]];
    for (value, sealed) in damaged.iter().zip(&put) {
        value.put(&mut connection, sealed);
    }
    let counted = count_by_key(&mut connection, SealedColumn::Replies).unwrap();
    assert_eq!(counted, [(None, 1)].into());

    let actor = actor();
    let mut rotation = Rotation::new(&new, &actor, 4);
    finish(&mut rotation, &mut connection);
    assert_eq!(rotation.reencrypted.values().sum::<u64>(), 16);
    let named: Vec<String> = rotation
        .undecryptable
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(named.len(), 3, "{named:?}");
    for value in &damaged {
        let id = match Uuid::from_slice(&value.key) {
            Ok(id) => id.to_string(),
            Err(_) => format!("\\x{:02x}{:02x}", value.key[0], value.key[1]),
        };
        let is_named = named
            .iter()
            .any(|name| name.starts_with(value.column.table()) && name.contains(&id));
        assert!(is_named, "{named:?} has no {value:?}");
    }
    for (value, sealed) in damaged.iter().zip(&put) {
        assert_eq!(&value.sealed(&mut connection), sealed);
    }
    for value in values
        .iter()
        .filter(|value| !damaged.iter().any(|bad| bad.key == value.key))
    {
        value.assert_under(&mut connection, &new, 2);
    }
}

#[test]
fn a_key_can_be_dropped_when_no_value_uses_it() {
    let database = Database::new();
    let mut connection = database.connect();
    let (file, _) = KeyringFile::generate().with_new_key().unwrap();
    let (old, file) = (Keyring::from(&file), file.promoted());
    let new = Keyring::from(&file);
    let one = merchant(&mut connection, "one");
    let values = fill(&mut connection, &old, one, 3);
    // The first column that still has a value.
    for column in SealedColumn::ALL {
        rotate(&mut connection, &new, 200);
        let value = values.iter().find(|value| value.column == column).unwrap();
        value.put(&mut connection, &value.seal(&old));
        let in_use = keys_in_use(&mut connection).unwrap();
        assert!(file.droppable(&in_use).is_empty(), "{}", column.table());
    }
    rotate(&mut connection, &new, 200);
    assert_eq!(file.droppable(&keys_in_use(&mut connection).unwrap()), [1]);
    let file = file.without(&[1]).unwrap();
    for value in &values {
        value.assert_under(&mut connection, &Keyring::from(&file), 2);
    }
}

#[test]
fn two_concurrent_rotations_do_the_work_once() {
    let database = Database::new();
    let mut connection = database.connect();
    let (old, new) = keyrings();
    let one = merchant(&mut connection, "one");
    let values = fill(&mut connection, &old, one, 300);
    let resealed: Vec<u64> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (resealed, broken, _) = rotate(&mut database.connect(), &new, 10);
                    assert_eq!(broken, 0);
                    resealed
                })
            })
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(resealed.iter().sum::<u64>(), 310, "{resealed:?}");
    for value in &values {
        value.assert_under(&mut connection, &new, 2);
    }
}

#[test]
fn a_rotation_touches_no_index_and_no_other_column() {
    let database = Database::new();
    let mut connection = database.connect();
    let (old, new) = keyrings();
    let one = merchant(&mut connection, "one");
    fill(&mut connection, &old, one, 40);
    let rest = "select hashtext(string_agg((to_jsonb(a) - 'sealed_details' - 'sealed_webhook_url')::text, '' order by id)) from customer_accounts a";
    let before = number(&mut connection, rest);
    rotate(&mut connection, &new, 200);
    assert_eq!(number(&mut connection, rest), before);
    let indexed = number(
        &mut connection,
        "select count(*) from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
         where a.attname like 'sealed\\_%'",
    );
    assert_eq!(
        indexed, 0,
        "an index on a sealed column would end heap-only updates"
    );
}
