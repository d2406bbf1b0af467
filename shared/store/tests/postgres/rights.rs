//! The rights of each database role, tried by connections of these roles.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error;
use khata_store::rights::{RIGHTS, ROLES};

use crate::rows::merchant;
use khata_testing::Database;
use khata_testing::database::number;

/// Connects in this role.
fn connect(database: &Database, role: &str) -> PgConnection {
    PgConnection::establish(&database.url_as(role)).unwrap_or_else(|error| {
        panic!("the server has no role {role} (deploy/postgres/roles.sql; `make up` creates it): {error}")
    })
}

/// Whether the role may run the statement, which changes nothing.
fn may(connection: &mut PgConnection, statement: &str) -> bool {
    let mut permitted = true;
    let _ = connection.transaction::<(), Error, _>(|connection| {
        if let Err(Error::DatabaseError(_, info)) = connection.batch_execute(statement) {
            permitted = !info.message().starts_with("permission denied");
        }
        Err(Error::RollbackTransaction)
    });
    permitted
}

/// Returns the first column of a table.
fn column(connection: &mut PgConnection, table: &str) -> String {
    let query = format!(
        "select attname::text from pg_attribute where attrelid = '{table}'::regclass and attnum > 0 order by attnum limit 1"
    );
    diesel::dsl::sql::<diesel::sql_types::Text>(&query)
        .get_result(connection)
        .unwrap()
}

#[test]
fn the_rights_on_every_table_are_stated() {
    let database = Database::new();
    let mut owner = database.connect();
    let tables: Vec<String> = diesel::dsl::sql::<diesel::sql_types::Text>(
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm')
         order by relname collate \"C\"",
    )
    .load(&mut owner)
    .unwrap();
    let stated: Vec<_> = RIGHTS.iter().map(|(table, _)| *table).collect();
    assert_eq!(
        tables, stated,
        "state the rights of a new table in shared/store/src/rights.rs"
    );
    let sequences = "select count(*) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'S'";
    assert_eq!(
        number(&mut owner, sequences),
        0,
        "rights on sequences are not granted"
    );
}

#[test]
fn each_role_can_do_what_its_rights_say_and_nothing_else() {
    let database = Database::new();
    let mut owner = database.connect();
    for (place, role) in ROLES.into_iter().enumerate() {
        let mut connection = connect(&database, role);
        for (table, rights) in RIGHTS {
            let rights: Vec<_> = rights[place].split(", ").collect();
            let column = column(&mut owner, table);
            for (right, statement) in [
                ("select", format!("select * from {table} limit 0")),
                ("insert", format!("insert into {table} default values")),
                (
                    "update",
                    format!("update {table} set {column} = {column} where false"),
                ),
                ("delete", format!("delete from {table} where false")),
                ("truncate", format!("truncate {table}")),
            ] {
                // An update reads the column.
                let expected =
                    rights.contains(&right) && (right != "update" || rights.contains(&"select"));
                assert_eq!(
                    may(&mut connection, &statement),
                    expected,
                    "{role}: {statement}"
                );
            }
        }
        for statement in [
            "create table mine (id int)",
            "alter table merchants add column mine int",
            "drop table audit_log",
            "alter table audit_log disable trigger all",
            "create role mine",
        ] {
            let refused = connection.transaction::<(), Error, _>(|connection| {
                connection.batch_execute(statement)?;
                Err(Error::RollbackTransaction)
            });
            assert!(
                matches!(refused, Err(Error::DatabaseError(..))),
                "{role}: {statement}"
            );
        }
    }
    let mut worker = connect(&database, "khata_worker");
    assert!(may(&mut worker, "select expires_at from api_keys"));
    assert!(!may(&mut worker, "select key_hash from api_keys"));
    let mut api = connect(&database, "khata_api");
    for (column, permitted) in [("not_understood", true), ("state", false), ("code", false)] {
        let update = format!("update validation_attempts set {column} = {column} where false");
        assert_eq!(may(&mut api, &update), permitted, "{update}");
    }
    let name = "select merchant_id, id, object_reference_id from customers";
    assert!(may(&mut worker, name));
    assert!(!may(&mut worker, "select sealed_contact from customers"));
}

#[test]
fn not_even_the_owner_changes_or_deletes_a_line_of_the_audit_log() {
    let database = Database::new();
    let mut owner = database.connect();
    let one = merchant(&mut owner, "one");
    let insert = format!(
        "insert into audit_log (merchant_id, id, actor, action, subject) values ('{}', gen_random_uuid(), 'a', 'b', 'c')",
        one.0
    );
    connect(&database, "khata_operator")
        .batch_execute(&insert)
        .unwrap();
    for statement in [
        "update audit_log set actor = 'x'",
        "delete from audit_log",
        "truncate audit_log",
        "insert into audit_log select * from audit_log on conflict (merchant_id, id) do update set actor = 'x'",
    ] {
        let error = owner.batch_execute(statement).unwrap_err().to_string();
        assert!(error.contains("append-only"), "{statement}: {error}");
    }
    assert_eq!(
        number(
            &mut owner,
            "select count(*) from audit_log where actor = 'a'"
        ),
        1
    );
}

#[test]
fn rights_that_were_granted_by_hand_are_revoked_again() {
    let database = Database::new();
    let mut owner = database.connect();
    owner
        .batch_execute("grant all on audit_log, merchants to khata_api; revoke select on merchants from khata_worker")
        .unwrap();
    let migrated = khata_store::migrate(database.url()).unwrap();
    assert_eq!(migrated, khata_store::Migrated::default());
    let mut api = connect(&database, "khata_api");
    assert!(!may(&mut api, "delete from audit_log where false"));
    assert!(!may(
        &mut api,
        "update merchants set name = name where false"
    ));
    let mut worker = connect(&database, "khata_worker");
    assert!(may(&mut worker, "select * from merchants limit 0"));
}
