//! Compares names that differ in case and underscores.

/// Whether two names differ only in case and underscores, such as `userId` and `user_id`.
#[must_use]
pub fn is_alike(one: &str, other: &str) -> bool {
    letters(one).eq(letters(other))
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    let letters = name.chars().filter(|letter| *letter != '_');
    letters.map(|letter| letter.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_alike_whatever_their_case_and_underscores() {
        for other in ["userId", "USER_ID", "UserID", "user_id"] {
            assert!(is_alike("user_id", other), "{other}");
        }
        assert!(!is_alike("user_id", "user_ids"));
    }
}
