//! Makes the text of a server's error safe to show.
//!
//! A server may repeat the arguments of a command, which may be a secret or an event. Not here: what
//! must follow from an error (`fault`).

/// Limit of the text of an error (characters).
const LIMIT: usize = 200;

/// The user and the password of a link. No text shows them.
#[derive(Clone, Default)]
pub(super) struct Secrets {
    user: Option<String>,
    password: Option<String>,
}

impl Secrets {
    pub(super) fn new(user: Option<&str>, password: &str) -> Self {
        let is_secret = |text: &&str| !text.is_empty();
        Self {
            // Each server has this user.
            user: user
                .filter(is_secret)
                .filter(|user| *user != "default")
                .map(str::to_owned),
            password: Some(password).filter(is_secret).map(str::to_owned),
        }
    }

    /// Returns the text of an error without arguments, secrets and characters that cannot be printed.
    pub(super) fn safe(&self, text: &str) -> String {
        let end = text.find("with args").unwrap_or(text.len());
        let text = text[..end].trim_end_matches([',', ' ']);
        // Twice: a character that is removed may stand in the middle of a secret, or belong to it.
        let printable: String = self
            .without_secrets(text)
            .chars()
            .filter(|letter| {
                letter.is_ascii_graphic() || *letter == ' ' || letter.is_alphanumeric()
            })
            .collect();
        self.without_secrets(&printable)
            .trim()
            .chars()
            .take(LIMIT)
            .collect()
    }

    fn without_secrets(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some(password) = &self.password {
            text = text.replace(password, "***");
        }
        match &self.user {
            Some(user) => without_word(&text, user),
            None => text,
        }
    }
}

/// Replaces a name where it is a whole word: a short one is a part of many words.
fn without_word(text: &str, word: &str) -> String {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-';
    let mut safe = String::with_capacity(text.len());
    let mut end = 0;
    for (at, _) in text.match_indices(word) {
        let after = at + word.len();
        let is_inside = text[..at].ends_with(is_part) || text[after..].starts_with(is_part);
        safe.push_str(&text[end..at]);
        safe.push_str(if is_inside { word } else { "***" });
        end = after;
    }
    safe.push_str(&text[end..]);
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_shows_no_argument_no_secret_and_only_what_can_be_printed() {
        let secrets = Secrets::new(Some("bus"), "s3cret");
        for (text, safe) in [
            (
                "ERR max number of clients reached",
                "ERR max number of clients reached",
            ),
            (
                "ERR unknown command 'AUTH', with args beginning with: 'x' 'y' ",
                "ERR unknown command 'AUTH'",
            ),
            (
                "ERR unknown command `AUTH`, with args beginning with: `x`, ",
                "ERR unknown command `AUTH`",
            ),
            ("NOPERM User bus has no", "NOPERM User *** has no"),
            ("a busy business of bus", "a busy business of ***"),
            ("bad s3cretly s3\u{7}cret bus", "bad ***ly *** ***"),
            ("a\r\n\u{1b}[31mb\u{202e}c\u{e9}", "a[31mbc\u{e9}"),
            ("", ""),
        ] {
            assert_eq!(secrets.safe(text), safe, "{text}");
        }
        let long = "x".repeat(195) + "s3cret" + &"y".repeat(100);
        let safe = secrets.safe(&long);
        assert_eq!(safe.chars().count(), LIMIT);
        assert!(safe.ends_with("***yy"), "{safe}");
    }

    #[test]
    fn a_link_without_a_password_hides_nothing() {
        assert_eq!(Secrets::default().safe("a b"), "a b");
        let default = Secrets::new(Some("default"), "");
        assert_eq!(default.safe("User default"), "User default");
    }
}
