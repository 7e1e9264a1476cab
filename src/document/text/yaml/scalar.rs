//! What a plain scalar means.

/// A plain scalar's type.
pub(super) enum Plain {
    Null,
    Bool(bool),
    Integer(i64),
    Number,
    Text,
}

/// The core schema of YAML 1.2, except that a number with a leading zero is a text: `01234` is no number to anybody.
pub(super) fn plain(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Plain::Number,
        _ => {}
    }
    let (sign, unsigned) = match text.as_bytes()[0] {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        b'0'..=b'9' | b'.' => ("", text),
        _ => return Plain::Text,
    };
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Plain::Number;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
            return match (all, i64::from_str_radix(digits, radix)) {
                (true, Ok(n)) => Plain::Integer(n),
                (true, Err(_)) => Plain::Number,
                (false, _) => Plain::Text,
            };
        }
    }
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 1 && unsigned.starts_with('0') {
        return Plain::Text;
    }
    if digits > 0 && digits == unsigned.len() {
        return format!("{sign}{unsigned}")
            .parse()
            .map_or(Plain::Number, Plain::Integer);
    }
    if is_float(unsigned, digits) {
        Plain::Number
    } else {
        Plain::Text
    }
}

/// `1.5`, `.5`, `5.`, `1e3`.
fn is_float(unsigned: &str, digits: usize) -> bool {
    let rest = &unsigned[digits..];
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => {
            let n = rest.bytes().take_while(u8::is_ascii_digit).count();
            (n, &rest[n..])
        }
        None => (0, rest),
    };
    if digits + fraction == 0 {
        return false;
    }
    match rest.strip_prefix(['e', 'E']) {
        None => rest.is_empty(),
        Some(exponent) => {
            let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            !exponent.is_empty() && exponent.bytes().all(|b| b.is_ascii_digit())
        }
    }
}
