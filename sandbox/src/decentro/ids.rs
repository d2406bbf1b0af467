//! Ids the way Decentro makes them, drawn at random: after a restart they do not meet older ones.

use uuid::Uuid;

/// A transaction id: DEC and 27 capitals and digits.
pub(super) fn txn_id() -> String {
    let mut drawn = Uuid::new_v4().simple().to_string();
    drawn.make_ascii_uppercase();
    format!("DEC{}", &drawn[..27])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_txn_id_is_drawn_anew() {
        let id = txn_id();
        assert!(id.len() == 30 && id.starts_with("DEC"));
        assert_ne!(id, txn_id());
    }
}
