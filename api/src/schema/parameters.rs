//! Path and query parameters.

use utoipa::IntoParams;

/// A customer.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "a schema")]
pub(crate) struct CustomerPath {
    /// Khata's id, or your own reference.
    #[param(pattern = "^[!-~]{1,128}$", example = "customer_1122")]
    customer_id: String,
}

/// An account of a customer.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "a schema")]
pub(crate) struct AccountPath {
    /// Khata's id, or your own reference.
    #[param(pattern = "^[!-~]{1,128}$", example = "customer_1122")]
    customer_id: String,
    #[param(example = "banh_01k82u7s7aeqraoh1tia1a3hc8")]
    account_id: String,
}

/// A page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "a schema")]
pub(crate) struct PagingQuery {
    /// Accounts per page.
    #[param(minimum = 1, maximum = 100, default = 10)]
    count: Option<u8>,
    /// Accounts to skip.
    #[param(minimum = 0, maximum = 1_000_000_000, default = 0)]
    offset: Option<u64>,
}
