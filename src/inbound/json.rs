//! JSON as it came: members in their order, numbers to the digit.
//!
//! RFC 8259 in UTF-8, nested at most [`MAX_DEPTH`] deep. `serde_json` is the oracle of the tests, not the reader: its
//! numbers of any precision travel as objects with a magic key, which a sender could forge, and it stops at depth 127.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

/// How deep objects and lists may nest.
pub(super) const MAX_DEPTH: usize = 128;

/// A parsed value; it borrows from the bytes wherever no escape stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// The number's text as it came: `1E5`, `1.0`, `12345678901234567890`.
    Number(&'a str),
    /// Text, escapes resolved.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Json<'a>>),
    /// Members in order. A name that comes twice has its first place and its last value, as in JavaScript.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Where the bytes stop being JSON, and why. Says nothing of what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSON at byte {at}: {why}")]
pub(super) struct InvalidJson {
    /// The offset.
    pub(super) at: usize,
    /// What is wrong.
    pub(super) why: &'static str,
}

/// A member has another JSON type than the platform's documents say, or the value is no object at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OtherShape;

impl<'a> Json<'a> {
    /// Reads the one value that `bytes` hold.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, InvalidJson> {
        let text = std::str::from_utf8(bytes).map_err(|error| InvalidJson {
            at: error.valid_up_to(),
            why: "the text is not UTF-8",
        })?;
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        reader.blanks();
        if reader.at < text.len() {
            return Err(reader.wrong("something follows the value"));
        }
        Ok(value)
    }

    /// An object of texts: a form's fields.
    #[must_use]
    pub(super) fn of_texts(fields: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> Self {
        Self::Object(fields.into_iter().map(|(n, v)| (n, Json::Text(v))).collect())
    }

    /// The member of an object; `null` counts as absent.
    #[must_use]
    pub(super) fn get(&self, name: &str) -> Option<&Json<'a>> {
        match self {
            Self::Object(members) => members
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v)
                .filter(|v| **v != Self::Null),
            _ => None,
        }
    }

    /// The text, where it is one.
    #[must_use]
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn member(&self, name: &str) -> Result<Option<&Json<'a>>, OtherShape> {
        match self {
            Self::Object(_) => Ok(self.get(name)),
            _ => Err(OtherShape),
        }
    }

    /// A member that is text, where it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, OtherShape> {
        self.member(name)?.map(|v| v.as_text().ok_or(OtherShape)).transpose()
    }

    /// A member that is text, where it is there and not empty.
    pub(super) fn filled(&self, name: &str) -> Result<Option<&str>, OtherShape> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    /// Takes a member away; says whether there was one.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let Self::Object(members) = self else {
            return false;
        };
        let before = members.len();
        members.retain(|(n, _)| n != name);
        members.len() < before
    }

    /// The digits of a member that is a whole number, where it is there.
    pub(super) fn integer(&self, name: &str) -> Result<Option<&'a str>, OtherShape> {
        self.member(name)?
            .map(|value| match value {
                Self::Number(n) if n.bytes().all(|b| b.is_ascii_digit() || b == b'-') => Ok(*n),
                _ => Err(OtherShape),
            })
            .transpose()
    }

    /// Whether a member is `true`; absent is `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, OtherShape> {
        match self.member(name)? {
            None => Ok(false),
            Some(Self::Bool(b)) => Ok(*b),
            Some(_) => Err(OtherShape),
        }
    }

    /// A member that is an object, where it is there.
    pub(super) fn object(&self, name: &str) -> Result<Option<&Json<'a>>, OtherShape> {
        match self.member(name)? {
            None => Ok(None),
            Some(object @ Self::Object(_)) => Ok(Some(object)),
            Some(_) => Err(OtherShape),
        }
    }

    /// The items of a member that is a list; none where it is absent.
    pub(super) fn list(&self, name: &str) -> Result<&[Json<'a>], OtherShape> {
        match self.member(name)? {
            None => Ok(&[]),
            Some(Self::List(items)) => Ok(items),
            Some(_) => Err(OtherShape),
        }
    }

    /// Writes it compact: no blanks, characters unescaped where JSON allows it, numbers as they came.
    pub(super) fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(text) => out.push_str(text),
            Self::Text(text) => write_text(out, text),
            Self::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (i, (name, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    write_text(out, name);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// Its compact text.
    #[must_use]
    pub(super) fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }
}

/// Writes a JSON string: only quotes, backslashes and control characters are escaped.
pub(super) fn write_text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = special_at(rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let byte = rest.as_bytes()[at];
        rest = &rest[at + 1..];
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            other => write!(out, "\\u{other:04x}").expect("a String takes every write"),
        }
    }
    out.push_str(rest);
    out.push('"');
}

/// A text as a JSON string.
#[must_use]
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_text(&mut out, text);
    out
}

/// What cannot stand in a JSON string as it is.
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Where the first such byte is. Texts are mostly without: they are looked through by the chunk, which compilers turn into a
/// few wide instructions.
fn special_at(bytes: &[u8]) -> Option<usize> {
    const CHUNK: usize = 64;
    let clean = |chunk: &&[u8; CHUNK]| chunk.iter().fold(0, |any, byte| any | u8::from(is_special(*byte))) == 0;
    let from = bytes.as_chunks().0.iter().take_while(clean).count() * CHUNK;
    Some(from + bytes[from..].iter().position(|byte| is_special(*byte))?)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, why: &'static str) -> InvalidJson {
        InvalidJson { at: self.at, why }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, InvalidJson> {
        self.blanks();
        match self.peek() {
            None => Err(self.wrong("the text ends where a value should be")),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.list(depth + 1),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            Some(_) => {
                for (word, value) in [
                    ("true", Json::Bool(true)),
                    ("false", Json::Bool(false)),
                    ("null", Json::Null),
                ] {
                    if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
                        self.at += word.len();
                        return Ok(value);
                    }
                }
                Err(self.wrong("this begins no value"))
            }
        }
    }

    fn enter(&mut self, depth: usize) -> Result<(), InvalidJson> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("nested more than 128 deep"));
        }
        self.at += 1;
        self.blanks();
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<Json<'a>, InvalidJson> {
        self.enter(depth)?;
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.blanks();
            if self.take(b']') {
                return Ok(Json::List(items));
            }
            if !self.take(b',') {
                return Err(self.wrong("`,` or `]` is missing"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, InvalidJson> {
        self.enter(depth)?;
        let mut members = Vec::new();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a member's name is missing"));
            }
            let name = self.string()?;
            self.blanks();
            if !self.take(b':') {
                return Err(self.wrong("`:` is missing"));
            }
            members.push((name, self.value(depth)?));
            self.blanks();
            if self.take(b'}') {
                return Ok(Json::Object(once(members)));
            }
            if !self.take(b',') {
                return Err(self.wrong("`,` or `}` is missing"));
            }
        }
    }

    fn digits(&mut self) -> Result<(), InvalidJson> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == from {
            return Err(self.wrong("a digit is missing"));
        }
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str, InvalidJson> {
        let from = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.wrong("a number begins with a zero too many"));
        }
        Ok(&self.text[from..self.at])
    }

    fn string(&mut self) -> Result<Cow<'a, str>, InvalidJson> {
        self.at += 1;
        let mut from = self.at;
        let mut owned: Option<String> = None;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            self.at += special_at(rest).unwrap_or(rest.len());
            match self.peek() {
                None => return Err(self.wrong("a text does not end")),
                Some(b'"') => {
                    let rest = &self.text[from..self.at];
                    self.at += 1;
                    return Ok(match owned {
                        None => Cow::Borrowed(rest),
                        Some(text) => Cow::Owned(text + rest),
                    });
                }
                Some(b'\\') => {
                    let text = owned.get_or_insert_default();
                    text.push_str(&self.text[from..self.at]);
                    self.at += 1;
                    let character = self.escape()?;
                    text.push(character);
                    from = self.at;
                }
                Some(_) => return Err(self.wrong("a control character in a text must be escaped")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, InvalidJson> {
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.wrong("no such escape")),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode(&mut self) -> Result<char, InvalidJson> {
        const LONE: &str = "an escape that is no character";
        let first = self.hex4()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or_else(|| self.wrong(LONE));
        }
        if !(self.take(b'\\') && self.take(b'u')) {
            return Err(self.wrong(LONE));
        }
        let second = self.hex4()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(self.wrong(LONE));
        }
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or_else(|| self.wrong(LONE))
    }

    fn hex4(&mut self) -> Result<u32, InvalidJson> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self
                .peek()
                .and_then(|b| char::from(b).to_digit(16))
                .ok_or_else(|| self.wrong("four hex digits must follow `\\u`"))?;
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}

/// Leaves one member of each name: the first place, the last value.
fn once<'a>(members: Vec<(Cow<'a, str>, Json<'a>)>) -> Vec<(Cow<'a, str>, Json<'a>)> {
    // Small objects are the rule; the map keeps a hostile one from costing the square of its size.
    const FEW: usize = 16;
    let repeated = if members.len() <= FEW {
        (1..members.len()).any(|i| members[..i].iter().any(|(name, _)| *name == members[i].0))
    } else {
        let mut seen = std::collections::HashSet::with_capacity(members.len());
        !members.iter().all(|(name, _)| seen.insert(&**name))
    };
    if !repeated {
        return members;
    }
    let mut places: HashMap<Cow<'a, str>, usize> = HashMap::new();
    let mut kept: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
    for (name, value) in members {
        if let Some(&place) = places.get(&name) {
            kept[place].1 = value;
        } else {
            places.insert(name.clone(), kept.len());
            kept.push((name, value));
        }
    }
    kept
}

#[cfg(test)]
mod tests;
