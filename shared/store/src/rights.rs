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
    ("validation_attempts", [READ, WRITE, READ]),
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
