//! Rust as the rules read it: without comments and strings, in tokens and paths.

/// A file: as it is, and without comments and the content of strings.
pub(super) struct Code {
    pub(super) text: String,
    /// Line for line as `text`.
    pub(super) bare: String,
    /// `bare` without what only tests compile.
    pub(super) production: String,
    /// The modules that `#[cfg(test)] mod name;` declares.
    pub(super) test_modules: Vec<String>,
}

impl Code {
    pub(super) fn read(text: &str) -> Self {
        let bare = bare(text);
        let (production, test_modules) = without_tests(&bare);
        Self {
            text: text.to_owned(),
            bare,
            production,
            test_modules,
        }
    }
}

// Blanks comments, and what is between quotes; line ends stay.
pub(super) fn bare(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = at
            + if rest.starts_with(b"//") {
                rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
            } else if rest.starts_with(b"/*") {
                block_comment(rest)
            } else if let Some(length) = raw_string(rest, at.checked_sub(1).map(|before| bytes[before])) {
                length
            } else if rest[0] == b'"' {
                quoted(rest, b'"')
            } else if rest[0] == b'\'' && is_char(rest) {
                quoted(rest, b'\'')
            } else {
                out.push(rest[0]);
                at += 1;
                continue;
            };
        // A quote stays, so that what stood here is still something.
        out.push(if rest[0] == b'/' { b' ' } else { b'"' });
        out.extend(bytes[at..end].iter().filter(|byte| **byte == b'\n'));
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..(at + 2).min(rest.len())] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn raw_string(rest: &[u8], before: Option<u8>) -> Option<usize> {
    if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let prefix = ["br", "cr", "r"]
        .iter()
        .find(|prefix| rest.starts_with(prefix.as_bytes()))?
        .len();
    let hashes = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    let close = [b"\"".as_slice(), "#".repeat(hashes).as_bytes()].concat();
    let length = rest[open + 1..].windows(close.len()).position(|window| window == close);
    Some(length.map_or(rest.len(), |length| open + 1 + length + close.len()))
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

// `'a'` and `'\n'` are characters, `'a` is a lifetime.
fn is_char(rest: &[u8]) -> bool {
    let width = match rest.get(1) {
        Some(b'\\') => return true,
        Some(0xF0..) => 4,
        Some(0xE0..) => 3,
        Some(0xC0..) => 2,
        _ => 1,
    };
    rest.get(1 + width) == Some(&b'\'')
}

// Takes out every item after `#[cfg(test)]`.
fn without_tests(bare: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    let (mut production, mut modules, mut rest) = (String::new(), Vec::new(), bare);
    while let Some(at) = rest.find(MARK) {
        production.push_str(&rest[..at]);
        let item = &rest[at + MARK.len()..];
        let end = item_end(item);
        let words: Vec<&str> = item[..end].split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        if item[..end].ends_with(';')
            && let Some(name) = words.iter().skip_while(|word| **word != "mod").nth(1)
        {
            modules.push((*name).to_owned());
        }
        rest = &item[end..];
    }
    production.push_str(rest);
    (production, modules)
}

// Where an item ends: at its semicolon, or with its braces.
fn item_end(item: &str) -> usize {
    let (mut depth, mut brackets) = (0_usize, 0_i32);
    for (at, c) in item.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if depth == 0 && brackets == 0 => return at + 1,
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    item.len()
}

/// Every path that begins with `crate` or `super`, groups taken apart: `crate::{a::b, c}` is `crate::a::b` and `crate::c`.
pub(super) fn paths(code: &str) -> Vec<Vec<String>> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begins = matches!(tokens[at], "crate" | "super") && tokens.get(at + 1) == Some(&"::");
        let inside = at > 0 && tokens[at - 1] == "::";
        if begins && !inside {
            at = path(&tokens, at, &mut Vec::new(), &mut found);
        } else {
            at += 1;
        }
    }
    found
}

fn path<'a>(tokens: &[&'a str], mut at: usize, prefix: &mut Vec<&'a str>, found: &mut Vec<Vec<String>>) -> usize {
    let depth = prefix.len();
    loop {
        match tokens.get(at) {
            Some(&"{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| *token != "}") {
                    if tokens[at] == "," {
                        at += 1;
                    } else {
                        at = path(tokens, at, prefix, found);
                    }
                }
                at += 1;
                break;
            }
            Some(name) => {
                prefix.push(name);
                at += 1;
                if tokens.get(at) != Some(&"::") {
                    found.push(prefix.iter().map(|name| (*name).to_owned()).collect());
                    // `a as b`
                    if tokens.get(at) == Some(&"as") {
                        at += 2;
                    }
                    break;
                }
                at += 1;
            }
            None => break,
        }
    }
    prefix.truncate(depth);
    at
}

pub(super) fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let length = match word {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            word => word,
        };
        found.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    found
}
