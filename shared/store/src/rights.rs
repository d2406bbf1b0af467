//! Rights of the database roles. The owner of the tables migrates the schema. The API, the workers and the operator's commands
//! each have a role with the rights that their statements need, and no other.
//!
//! `khata migrate` grants the rights after the steps, to the roles that exist: deployment creates the roles, because a role
//! belongs to the server and has a password. A role of another name gets the rights as a member of one of these.

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, QueryResult};

use crate::statement::statement;

/// The roles: of khata-api, khata-worker and the operator's commands.
pub const ROLES: [&str; 3] = ["khata_api", "khata_worker", "khata_operator"];

/// Role of an autoscaler (KEDA), which reads how many validations are due. It has no other right.
const SCALER: &str = "khata_scaler";
const SCALER_RIGHTS: &str = "grant select (state, due_at, completed_at) on validations";

const NONE: &str = "";
const READ: &str = "select";
/// For the lines of the audit log about webhook endpoints, which merchants' calls and failing endpoints change.
const INSERT: &str = "insert";
const WRITE: &str = "select, insert, update";

/// The rights of each of [`ROLES`] on every table. The API and the workers cannot change merchants, keys and gateway accounts,
/// and cannot read the audit log; no role may change its lines.
pub const RIGHTS: [(&str, [&str; 3]); 23] = [
    ("__diesel_schema_migrations", [READ, READ, READ]),
    ("api_keys", [READ, KEY_EXPIRY, WRITE]),
    ("audit_log", [INSERT, INSERT, "select, insert"]),
    (
        "customer_accounts",
        [WRITE, "select, update", "select, update"],
    ),
    ("customers", [WRITE, CUSTOMER_NAMES, "select, update"]),
    ("encryption_counts", [WRITE, WRITE, WRITE]),
    ("event_clock", [READ, READ, READ]),
    (
        "events",
        ["select, insert", "select, insert, delete", "select, insert"],
    ),
    ("gateway_accounts", [READ, READ, WRITE]),
    ("gateway_calls_in_hand", [NONE, WRITE_AND_DELETE, READ]),
    (
        "gateway_notices",
        [WRITE, "select, delete", "select, update"],
    ),
    ("gateway_references", [READ, "select, insert, delete", READ]),
    ("gateway_scores", [NONE, WRITE_AND_DELETE, READ]),
    ("gateway_states", [NONE, WRITE, "select, update"]),
    (
        "idempotency_records",
        [WRITE, "select, update, delete", "select, update"],
    ),
    ("idempotency_usage", [WRITE, "select, delete", READ]),
    ("merchants", [READ, READ, WRITE]),
    ("penny_drop_counts", [WRITE, WRITE_AND_DELETE, WRITE]),
    ("validation_attempts", [READ_AND_NOTE, WRITE, READ]),
    ("validations", [WRITE, "select, update", WRITE]),
    (
        "webhook_attempts",
        [READ, "select, insert, delete", "select, update"],
    ),
    ("webhook_deliveries", [WRITE, WRITE_AND_DELETE, WRITE]),
    (
        "webhook_endpoints",
        [WRITE, "select, update, delete", WRITE],
    ),
];

/// The columns of `customers` that an event shows: no contact data.
const CUSTOMER_NAMES: &str = "select (merchant_id, id, object_reference_id)";
const WRITE_AND_DELETE: &str = "select, insert, update, delete";
/// The API adds the fields of a webhook that could not be read, and changes nothing else of an attempt.
const READ_AND_NOTE: &str = "select, update (not_understood)";
/// The columns of `api_keys` that the metric of expiring keys reads: no hash.
const KEY_EXPIRY: &str = "select (merchant_id, id, scope, created_at, expires_at, revoked_at)";

/// Returns those of these roles that do not exist.
pub fn missing_roles(connection: &mut PgConnection, roles: &[String]) -> QueryResult<Vec<String>> {
    let mut missing = Vec::new();
    for role in roles {
        if !exists(connection, role)? {
            missing.push(role.clone());
        }
    }
    Ok(missing)
}

fn exists(connection: &mut PgConnection, role: &str) -> QueryResult<bool> {
    statement("select exists (select from pg_roles where rolname = $1)")
        .bind(role)
        .tuple(connection)
}

/// A service, whose role has one column of [`RIGHTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Api,
    Worker,
}

impl Service {
    /// Returns the role that deployment creates for the service.
    pub fn role(self) -> &'static str {
        ROLES[self.place()]
    }

    fn place(self) -> usize {
        match self {
            Self::Api => 0,
            Self::Worker => 1,
        }
    }
}

/// Returns the rights of a service that the role of the connection lacks, such as `insert on customers`. A table that does not exist is
/// not listed: the schema has a check of its own.
pub(crate) fn missing_rights(
    connection: &mut PgConnection,
    service: Service,
) -> QueryResult<Vec<String>> {
    let place = service.place();
    let needed: Vec<String> = RIGHTS
        .iter()
        .flat_map(|(table, rights)| each(rights[place]).map(move |right| (table, right)))
        .flat_map(|(table, (right, columns))| {
            let row = move |column: &str| format!("('{table}', '{right}', '{column}')");
            columns.into_iter().map(row).collect::<Vec<_>>()
        })
        .collect();
    statement(format!(
        "select distinct privilege || ' on ' || name from (values {}) as needed (name, privilege, part)
         where not case part when '' then has_table_privilege(to_regclass(name), privilege)
             else has_column_privilege(to_regclass(name), part, privilege) end
         order by 1",
        needed.join(", ")
    ))
    .tuples(connection)
}

/// Splits rights such as `select, update (one, other)` into each right with its columns; one empty name means all columns.
fn each(rights: &'static str) -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    // A comma between columns is inside of parentheses.
    let mut depth = 0;
    let parts = rights.split(move |letter| {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        letter == ',' && depth == 0
    });
    parts
        .map(str::trim)
        .filter(|right| !right.is_empty())
        .map(|right| match right.split_once(" (") {
            Some((right, columns)) => {
                let columns = columns.trim_end_matches(')').split(", ");
                (right, columns.collect())
            }
            None => (right, vec![""]),
        })
}

/// Grants each role its rights and revokes all others, in one transaction. Returns the roles that do not exist.
pub(crate) fn grant(connection: &mut PgConnection) -> QueryResult<Vec<&'static str>> {
    connection.transaction(|connection| {
        let mut missing = Vec::new();
        for (place, role) in ROLES.into_iter().enumerate() {
            if !exists(connection, role)? {
                missing.push(role);
                continue;
            }
            for (table, rights) in RIGHTS {
                let mut statements = vec![format!("revoke all on {table} from {role}")];
                if rights[place] != NONE {
                    statements.push(format!("grant {} on {table} to {role}", rights[place]));
                }
                connection.batch_execute(&statements.join("; "))?;
            }
        }
        if exists(connection, SCALER)? {
            connection.batch_execute(&format!("{SCALER_RIGHTS} to {SCALER}"))?;
        }
        Ok(missing)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_split_with_their_columns() {
        let split = |rights| each(rights).collect::<Vec<_>>();
        assert_eq!(split(NONE), []);
        assert_eq!(
            split(WRITE),
            [
                ("select", vec![""]),
                ("insert", vec![""]),
                ("update", vec![""])
            ]
        );
        assert_eq!(
            split("select (one, other), update (one)"),
            [("select", vec!["one", "other"]), ("update", vec!["one"])]
        );
    }
}
