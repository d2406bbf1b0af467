//! Written SQL statements that the server parses and plans once for each connection. `diesel::sql_query` is parsed on every
//! call; for statements with twenty columns and three CTEs, planning costs more than running.
//!
//! A batch statement takes its rows as one parameter, made by [`rows!`]: one list gives each column's name, its SQL type
//! and its value.

use std::fmt;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::Error;
use diesel::serialize::ToSql;
use diesel::sql_types::{Array, HasSqlType, Untyped, Uuid as SqlUuid};
use diesel::{QueryResult, RunQueryDsl};
use khata_domain::ValidationKey;

trait Bind {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()>;
}

struct Value<ST, V> {
    value: V,
    sql_type: std::marker::PhantomData<ST>,
}

impl<ST, V> Value<ST, V> {
    fn new(value: V) -> Self {
        Self {
            value,
            sql_type: std::marker::PhantomData,
        }
    }
}

impl<ST, V> Bind for Value<ST, V>
where
    Pg: HasSqlType<ST>,
    V: ToSql<ST, Pg>,
{
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param(&self.value)
    }
}

/// The rows of a batch: one array per column, which Postgres zips into rows. [`rows!`] makes them.
#[derive(Default)]
pub(super) struct Rows<'a> {
    columns: Vec<(&'static str, Box<dyn Bind + 'a>)>,
    is_numbered: bool,
}

impl<'a> Rows<'a> {
    /// Adds a column with its value in every row.
    pub(super) fn column<ST: 'static, V>(mut self, name: &'static str, values: Vec<V>) -> Self
    where
        Pg: HasSqlType<Array<ST>>,
        Vec<V>: ToSql<Array<ST>, Pg> + 'a,
    {
        let values = Value::<Array<ST>, _>::new(values);
        self.columns.push((name, Box::new(values)));
        self
    }

    /// Adds the column `place`: the number of the row, from 1.
    pub(super) fn numbered(mut self) -> Self {
        self.is_numbered = true;
        self
    }
}

impl Bind for Rows<'_> {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(select * from unnest(");
        for (index, (_, values)) in self.columns.iter().enumerate() {
            out.push_sql(if index == 0 { "" } else { ", " });
            values.push(out)?;
        }
        out.push_sql(if self.is_numbered {
            ") with ordinality as t ("
        } else {
            ") as t ("
        });
        for (index, (name, _)) in self.columns.iter().enumerate() {
            out.push_sql(if index == 0 { "" } else { ", " });
            out.push_sql(name);
        }
        out.push_sql(if self.is_numbered { ", place))" } else { "))" });
        Ok(())
    }
}

/// Makes the [`Rows`] of a statement: `rows!(items, item => { column: SqlType = value, … })`.
macro_rules! rows {
    ($items:expr, $item:pat => { $($name:ident: $sql_type:ty = $value:expr),+ $(,)? }) => {{
        let items = $items;
        $crate::statement::Rows::default()$(
            .column::<$sql_type, _>(
                stringify!($name),
                items
                    .iter()
                    .map(|item| {
                        #[allow(unused_variables, reason = "a column may use one part of the pattern")]
                        let $item = item;
                        $value
                    })
                    .collect::<Vec<_>>(),
            )
        )+
    }};
}
pub(super) use rows;

/// The keys as rows `(merchant_id, id)`.
pub(super) fn validation_keys(keys: &[ValidationKey]) -> Rows<'_> {
    rows!(keys, key => {
        merchant_id: SqlUuid = key.merchant,
        id: SqlUuid = key.id,
    })
}

/// A statement and its parameters, `$1` first.
pub(super) struct Statement<'a> {
    sql: &'static str,
    binds: Vec<Box<dyn Bind + 'a>>,
}

/// Makes a statement of this text, in which `$1`, `$2`, … occur once each and in order. Only constant texts: every
/// connection keeps each text prepared that it ran.
pub(super) fn statement<'a>(sql: &'static str) -> Statement<'a> {
    Statement {
        sql,
        binds: Vec::new(),
    }
}

impl<'a> Statement<'a> {
    /// Binds the next parameter.
    pub(super) fn bind<ST: 'a, V>(mut self, value: V) -> Self
    where
        Pg: HasSqlType<ST>,
        V: ToSql<ST, Pg> + 'a,
    {
        self.binds.push(Box::new(Value::<ST, _>::new(value)));
        self
    }

    /// Binds the next parameter to rows. In the text it is a table: `from $1 as input`.
    pub(super) fn rows(mut self, rows: Rows<'a>) -> Self {
        self.binds.push(Box::new(rows));
        self
    }
}

impl fmt::Debug for Statement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statement")
            .field("sql", &self.sql)
            .finish_non_exhaustive()
    }
}

impl QueryFragment<Pg> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // diesel numbers the parameters that it sends, so the text is cut at each placeholder.
        let mut rest = self.sql;
        for (index, bind) in self.binds.iter().enumerate() {
            let placeholder = format!("${}", index + 1);
            let (before, after) = rest
                .split_once(&placeholder)
                .filter(|(before, after)| {
                    !before.contains('$') && !after.starts_with(|c: char| c.is_ascii_digit())
                })
                .ok_or_else(|| {
                    Error::QueryBuilderError(
                        format!("{placeholder} is not next in the text").into(),
                    )
                })?;
            out.push_sql(before);
            bind.push(&mut out)?;
            rest = after;
        }
        out.push_sql(rest);
        Ok(())
    }
}

impl QueryId for Statement<'_> {
    type QueryId = ();
    // diesel finds the prepared statement by its text.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement<'_> {
    type SqlType = Untyped;
}

impl<C> RunQueryDsl<C> for Statement<'_> {}

/// Converts a duration to the milliseconds that SQL takes.
pub(super) fn milliseconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
