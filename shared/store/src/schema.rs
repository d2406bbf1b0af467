//! The tables that the store reads and writes through diesel's query builder. Other statements are written in SQL, so that
//! a reader sees them.
diesel::table! {
    merchants (id) {
        id -> Uuid,
        name -> Text,
        implicit_customers -> Bool,
        validation_deadline_seconds -> Int4,
        created_at -> Timestamptz,
        requests_per_second -> Int4,
        validations_per_account_per_day -> Int2,
        reuse_results_seconds -> Int4,
        recovery_patience_seconds -> Int4,
        paid_attempts_per_validation -> Int2,
        penny_drops_per_day -> Int4,
        fail_names_below -> Int2,
        review_names_below -> Int2,
        event_days -> Int2,
    }
}

diesel::table! {
    api_keys (merchant_id, id) {
        merchant_id -> Uuid,
        id -> Uuid,
        key_hash -> Binary,
        prefix -> Text,
        created_at -> Timestamptz,
        expires_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
        scope -> Text,
    }
}

diesel::joinable!(api_keys -> merchants (merchant_id));
diesel::allow_tables_to_appear_in_same_query!(api_keys, merchants);
