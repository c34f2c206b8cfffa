//! Names that are spelled in two ways.

/// Whether two names differ in case and underscores alone, as `userId` and `user_id` do.
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
