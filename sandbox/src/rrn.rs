//! The bank's reference of an IMPS credit, its retrieval reference number: twelve digits.

/// One drawn at random.
pub(crate) fn draw() -> String {
    format!("{:012}", rand::random::<u64>() % 1_000_000_000_000)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_twelve_digits() {
        for _ in 0..100 {
            let drawn = super::draw();
            assert!(drawn.len() == 12 && drawn.bytes().all(|byte| byte.is_ascii_digit()));
        }
    }
}
