//! `traceparent`: W3C "Trace Context", section 3.2.

use std::sync::Arc;

use http::HeaderMap;

/// The header's value where it came once and has the form of the standard; everything else is as if it were not there.
pub(super) fn parent(headers: &HeaderMap) -> Option<Arc<str>> {
    let mut values = headers.get_all("traceparent").into_iter();
    let (Some(only), None) = (values.next(), values.next()) else {
        return None;
    };
    let text = only.to_str().ok()?;
    is_valid(text).then(|| text.into())
}

fn is_valid(text: &str) -> bool {
    /// Version 00 has this length; later ones may go on after a dash.
    const LENGTH: usize = 55;
    const LONGEST: usize = 256;
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let some = |text: &str| text.bytes().any(|b| b != b'0');
    let mut parts = text.splitn(5, '-');
    let (Some(version), Some(trace), Some(parent), Some(flags)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let right_length = text.len() == LENGTH || (version != "00" && parts.next().is_some() && text.len() <= LONGEST);
    hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && some(trace)
        && hex(parent, 16)
        && some(parent)
        && hex(flags, 2)
        && right_length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_standards_form_is_passed_on() {
        let right = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_valid(right));
        assert!(is_valid(&right.replacen("00", "cc", 1)));
        assert!(is_valid(&format!("{}-more", right.replacen("00", "01", 1))));
        for wrong in [
            String::new(),
            right.to_uppercase(),
            format!("{right}-more"),
            format!("{right} "),
            right.replacen("00", "ff", 1),
            right.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            right.replace("b7ad6b7169203331", &"0".repeat(16)),
            right[..54].to_owned(),
        ] {
            assert!(!is_valid(&wrong), "{wrong}");
        }
    }

    #[test]
    fn two_are_none() {
        let mut headers = HeaderMap::new();
        let right = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.append("traceparent", right.parse().unwrap());
        assert_eq!(parent(&headers).as_deref(), Some(right));
        headers.append("traceparent", right.parse().unwrap());
        assert_eq!(parent(&headers), None);
    }
}
