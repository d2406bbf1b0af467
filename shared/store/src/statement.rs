//! Written SQL statements that the server parses and plans once for each connection. `diesel::sql_query` is parsed on every
//! call; for statements with twenty columns and three CTEs, planning costs more than running.
//!
//! A batch statement takes its rows as one parameter, made by [`rows!`]: one list gives each column's name and its value.

use std::borrow::Cow;
use std::marker::PhantomData;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::LoadQuery;
use diesel::result::Error;
use diesel::serialize::ToSql;
use diesel::sql_types::{Array, HasSqlType, Untyped, Uuid as SqlUuid};
use diesel::{PgConnection, QueryResult, RunQueryDsl};

use super::column::Column;
use khata_domain::{MerchantId, ValidationKey};

trait Bind {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()>;
}

impl<V> Bind for V
where
    Pg: HasSqlType<V::Sql>,
    V: Column + ToSql<V::Sql, Pg>,
{
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param(self)
    }
}

/// The values of one column of a batch.
struct Values<V>(Vec<V>);

impl<V: Column> Bind for Values<V>
where
    Pg: HasSqlType<Array<V::Sql>>,
    Vec<V>: ToSql<Array<V::Sql>, Pg>,
{
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param(&self.0)
    }
}

/// The rows of a batch: one array per column, which Postgres zips into rows. [`rows!`] makes them.
#[derive(Default)]
pub(super) struct Rows<'a> {
    columns: Vec<(&'static str, Box<dyn Bind + 'a>)>,
    is_empty: bool,
    is_numbered: bool,
}

impl<'a> Rows<'a> {
    /// Adds a column with its value in every row.
    pub(super) fn column<V: Column + 'a>(mut self, name: &'static str, values: Vec<V>) -> Self
    where
        Pg: HasSqlType<Array<V::Sql>>,
        Vec<V>: ToSql<Array<V::Sql>, Pg>,
    {
        self.is_empty = values.is_empty();
        self.columns.push((name, Box::new(Values(values))));
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
        let mut names: Vec<&str> = Vec::with_capacity(self.columns.len() + 1);
        out.push_sql("(select * from unnest(");
        for (name, values) in &self.columns {
            out.push_sql(if names.is_empty() { "" } else { ", " });
            values.push(out)?;
            names.push(name);
        }
        out.push_sql(") ");
        if self.is_numbered {
            out.push_sql("with ordinality ");
            names.push("place");
        }
        out.push_sql(&format!("as t ({}))", names.join(", ")));
        Ok(())
    }
}

/// Makes the [`Rows`] of a statement: `rows!(items, item => { column = value, … })`.
macro_rules! rows {
    ($items:expr, $item:pat => { $($name:ident = $value:expr),+ $(,)? }) => {{
        let items = $items;
        $crate::statement::Rows::default()$(
            .column(
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
    rows!(keys, key => { merchant_id = key.merchant, id = key.id })
}

/// A statement and its parameters, `$1` first. diesel reads its rows as `T`: into structs by name, unless it is typed.
pub(super) struct Statement<'a, T = Untyped> {
    sql: Cow<'static, str>,
    binds: Vec<Box<dyn Bind + 'a>>,
    /// A batch without rows: the statement would do nothing, so it is not sent.
    is_idle: bool,
    row: PhantomData<T>,
}

/// Makes a statement of this text. A parameter may occur more than once and is sent each time. Only few different texts:
/// every connection keeps each text prepared that it ran.
pub(super) fn statement<'a>(sql: impl Into<Cow<'static, str>>) -> Statement<'a> {
    Statement {
        sql: sql.into(),
        binds: Vec::new(),
        is_idle: false,
        row: PhantomData,
    }
}

impl<'a> Statement<'a> {
    /// Binds the next parameter.
    pub(super) fn bind<V>(mut self, value: V) -> Self
    where
        Pg: HasSqlType<V::Sql>,
        V: Column + ToSql<V::Sql, Pg> + 'a,
    {
        self.binds.push(Box::new(value));
        self
    }

    /// Binds the next two parameters to the key of a merchant's row.
    pub(super) fn key<V>(self, merchant: MerchantId, id: V) -> Self
    where
        V: Column<Sql = SqlUuid> + ToSql<SqlUuid, Pg> + 'a,
    {
        self.bind(merchant).bind(id)
    }

    /// Binds the next parameter to rows. In the text it is a table: `from $1 as input`.
    pub(super) fn rows(mut self, rows: Rows<'a>) -> Self {
        self.is_idle |= rows.is_empty;
        self.binds.push(Box::new(rows));
        self
    }

    /// Like [`Self::rows`], for rows beside others: the statement is sent even if there are none of them.
    pub(super) fn rows_beside(mut self, rows: Rows<'a>) -> Self {
        self.binds.push(Box::new(rows));
        self
    }

    /// Loads rows of few columns, by their order.
    pub(super) fn tuples<'q, T: Column>(self, connection: &mut PgConnection) -> QueryResult<Vec<T>>
    where
        Statement<'a, T::Sql>: LoadQuery<'q, PgConnection, T>,
    {
        let typed: Statement<'a, T::Sql> = Statement {
            sql: self.sql,
            binds: self.binds,
            is_idle: self.is_idle,
            row: PhantomData,
        };
        typed.load(connection)
    }

    /// Loads one row of few columns, by their order.
    pub(super) fn tuple<'q, T: Column>(self, connection: &mut PgConnection) -> QueryResult<T>
    where
        Statement<'a, T::Sql>: LoadQuery<'q, PgConnection, T>,
    {
        let rows = self.tuples(connection)?;
        rows.into_iter().next().ok_or(Error::NotFound)
    }

    /// Executes a statement that returns no rows.
    pub(super) fn run(self, connection: &mut PgConnection) -> QueryResult<()> {
        if !self.is_idle {
            self.execute(connection)?;
        }
        Ok(())
    }
}

impl<T> Statement<'_, T> {
    /// Loads every row.
    pub(super) fn load<'q, U>(self, connection: &mut PgConnection) -> QueryResult<Vec<U>>
    where
        Self: LoadQuery<'q, PgConnection, U>,
    {
        if self.is_idle {
            return Ok(Vec::new());
        }
        RunQueryDsl::load(self, connection)
    }
}

impl<T> QueryFragment<Pg> for Statement<'_, T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // diesel numbers the parameters that it sends, so the text is cut at each placeholder.
        let mut rest = &*self.sql;
        let mut bound = 0;
        while let Some((before, after)) = rest.split_once('$') {
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = after.split_at(digits);
            let number = number.parse().unwrap_or(0);
            // Each parameter's first placeholder follows that of the parameter before.
            bound += usize::from(number == bound + 1);
            let bind = number
                .checked_sub(1)
                .and_then(|index| self.binds.get(index));
            let bind = bind.filter(|_| number <= bound).ok_or_else(|| {
                Error::QueryBuilderError(format!("${number} is not next in the text").into())
            })?;
            out.push_sql(before);
            bind.push(&mut out)?;
            rest = after;
        }
        if bound < self.binds.len() {
            let unused = format!("${} is not in the text", bound + 1);
            return Err(Error::QueryBuilderError(unused.into()));
        }
        out.push_sql(rest);
        Ok(())
    }
}

impl<T> QueryId for Statement<'_, T> {
    type QueryId = ();
    // diesel finds the prepared statement by its text.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<T> Query for Statement<'_, T> {
    type SqlType = T;
}

impl<C, T> RunQueryDsl<C> for Statement<'_, T> {}

/// Converts a duration to the milliseconds that SQL takes.
pub(super) fn milliseconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
