//! The words of an expression and where they stand: for what the compiler leaves to the first event.

/// What a word is used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A name at the top: `data` of `data.user`.
    Name,
    /// What follows a `|`.
    Filter,
    /// What follows `is` or `is not`.
    Test,
    /// A member, or the word `is` itself.
    Other,
}

/// A word outside of texts in quotes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    /// In bytes.
    pub(super) at: usize,
    pub(super) role: Role,
}

/// The words of a text; `tags`: only what is inside of `{{…}}` and `{%…%}` counts.
pub(super) fn of(text: &str, tags: bool) -> Vec<Word<'_>> {
    let bytes = text.as_bytes();
    let mut words: Vec<Word<'_>> = Vec::new();
    let mut inside = !tags;
    // The last character before the word that is no blank.
    let mut before = b' ';
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let two = bytes.get(at..at + 2).unwrap_or_default();
        if !inside {
            if two == b"{#" {
                at = text[at..].find("#}").map_or(text.len(), |end| at + end + 2);
                continue;
            }
            inside = two == b"{{" || two == b"{%";
            at += if inside { 2 } else { 1 };
            before = b' ';
            continue;
        }
        if tags && (two == b"}}" || two == b"%}") {
            inside = false;
            at += 2;
        } else if byte == b'"' || byte == b'\'' {
            at = end_of_quoted(bytes, at);
            before = byte;
        } else if byte == b'_' || byte.is_ascii_alphabetic() {
            let rest = bytes[at..].iter();
            let length = rest.take_while(|b| **b == b'_' || b.is_ascii_alphanumeric()).count();
            let word = &text[at..at + length];
            let role = match (before, words.last().map(|last| (last.text, last.at + last.text.len()))) {
                (b'|', _) => Role::Filter,
                (b'.', _) => Role::Other,
                (_, Some(("is", end))) if word != "not" && text[end..at].trim().is_empty() => Role::Test,
                (_, Some(("not", end))) if text[end..at].trim().is_empty() && negates_test(&words) => Role::Test,
                _ if matches!(word, "is" | "not") => Role::Other,
                _ => Role::Name,
            };
            words.push(Word { text: word, at, role });
            before = b'a';
            at += length;
        } else {
            if !byte.is_ascii_whitespace() {
                before = byte;
            }
            at += 1;
        }
    }
    words
}

/// Whether the last word, a `not`, belongs to an `is`.
fn negates_test(words: &[Word<'_>]) -> bool {
    words.len() >= 2 && words[words.len() - 2].text == "is"
}

/// Behind the closing quote.
fn end_of_quoted(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            _ if byte == bytes[start] => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::Role::{Filter, Name, Other, Test};
    use super::*;

    #[test]
    fn words_have_their_roles_and_quoted_ones_are_none() {
        let roles = |text, tags| -> Vec<(&str, Role)> {
            of(text, tags).into_iter().map(|word| (word.text, word.role)).collect()
        };
        assert_eq!(
            roles("x | upper {{ data.x | upper if 'a|b' is not string }} is y", true),
            [
                ("data", Name),
                ("x", Other),
                ("upper", Filter),
                ("if", Name),
                ("is", Other),
                ("not", Other),
                ("string", Test)
            ]
        );
        assert_eq!(
            roles("not data['x'] is defined", false),
            [("not", Other), ("data", Name), ("is", Other), ("defined", Test)]
        );
        assert!(roles("{# data|nosuch #}{{ \"a\\\" data\" ", true).is_empty());
    }
}
