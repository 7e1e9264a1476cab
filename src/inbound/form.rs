//! `application/x-www-form-urlencoded` bodies and queries.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;

use super::json::Json;

/// A form's fields, in order; a name may come more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// The form's text is not UTF-8, before or after its percent signs are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid form: the text is not UTF-8")]
pub(super) struct InvalidForm;

impl<'a> Form<'a> {
    /// Reads a form. A `%` that two hex digits do not follow stands for itself, as in browsers.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, InvalidForm> {
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidForm)?;
        let fields = text
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name)?, decode(value)?))
            })
            .collect::<Result<_, InvalidForm>>()?;
        Ok(Self(fields))
    }

    /// The first value of a name.
    #[must_use]
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| &**v)
    }

    /// All fields, in order.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (&**n, &**v))
    }

    /// An object of texts; of a repeated name the first.
    #[must_use]
    pub(super) fn into_json(self) -> Json<'a> {
        let mut seen = HashSet::new();
        Json::of_texts(self.0.into_iter().filter(|(name, _)| seen.insert(name.clone())))
    }
}

/// Writes a form of these fields: what [`Form::parse`] reads, fit for a query too.
#[must_use]
pub(super) fn write_form(fields: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in fields {
        if !out.is_empty() {
            out.push('&');
        }
        encode(&mut out, name);
        out.push('=');
        encode(&mut out, value);
    }
    out
}

fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes every write");
        }
    }
}

/// Resolves `+` and percent signs.
fn decode(text: &str) -> Result<Cow<'_, str>, InvalidForm> {
    if !text.bytes().any(|b| matches!(b, b'+' | b'%')) {
        return Ok(Cow::Borrowed(text));
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).expect("two hex digits make a byte"));
                at += 3;
                continue;
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| InvalidForm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded() {
        let form = Form::parse("a=1+2&b=%C3%A9&c&=d&b=2&&e=%zz%4".as_bytes()).unwrap();
        assert_eq!(form.get("a"), Some("1 2"));
        assert_eq!(form.get("b"), Some("é"));
        assert_eq!(form.get("c"), Some(""));
        assert_eq!(form.get(""), Some("d"));
        assert_eq!(form.get("e"), Some("%zz%4"));
        assert_eq!(form.fields().count(), 6);
        assert_eq!(
            form.into_json().to_text(),
            r#"{"a":"1 2","b":"é","c":"","":"d","e":"%zz%4"}"#
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        let fields = [("a", "1 + 2&3=é%"), ("b c", ""), ("z", "-._~😀\n")];
        let text = write_form(&fields);
        assert!(text.starts_with("a=1%20%2B%202%263%3D%C3%A9%25&b%20c=&"), "{text}");
        let read = Form::parse(text.as_bytes()).unwrap();
        assert!(read.fields().eq(fields));
    }

    #[test]
    fn text_that_is_no_utf8_is_refused() {
        assert_eq!(Form::parse(b"a=\xff"), Err(InvalidForm));
        assert_eq!(Form::parse(b"a=%FF"), Err(InvalidForm));
        assert_eq!(Form::parse(b"").unwrap().into_json().to_text(), "{}");
    }
}
