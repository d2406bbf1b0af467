//! A written SQL statement that the server parses and plans once for each connection. `diesel::sql_query` is sent anew
//! each time; for statements with twenty arrays and three CTEs, planning costs more than running.

use std::fmt;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::Error;
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Untyped};
use diesel::{QueryResult, RunQueryDsl};

trait Bind {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()>;
}

struct Value<ST, V> {
    value: V,
    sql_type: std::marker::PhantomData<ST>,
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

/// The statement and its binds, `$1` first.
pub(super) struct Statement<'a> {
    sql: &'static str,
    binds: Vec<Box<dyn Bind + 'a>>,
}

/// A statement of this text, in which `$1`, `$2`, … stand once each and in order. Only constant texts: each is kept
/// prepared on every connection that ran it.
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
        self.binds.push(Box::new(Value {
            value,
            sql_type: std::marker::PhantomData,
        }));
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
        // diesel writes the placeholders itself, so the text is cut where they stand.
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
    // The text is the key that the prepared statement is found by.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement<'_> {
    type SqlType = Untyped;
}

impl<C> RunQueryDsl<C> for Statement<'_> {}
