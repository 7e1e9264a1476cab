//! The data of an event that comes through the API: kept as the data of a request is.

use super::json::Json;

/// An object, compact, its members in order and its numbers to the digit; and the session that it names.
#[derive(Debug, PartialEq, Eq)]
pub struct PublishedData {
    /// JSON.
    pub text: String,
    /// `sessionId`.
    pub session: Option<String>,
}

impl PublishedData {
    /// Reads what was published.
    ///
    /// # Errors
    /// It is no JSON, or no object: what is wrong, without what it holds.
    pub fn read(text: &str) -> Result<Self, String> {
        let data = Json::parse(text.as_bytes()).map_err(|error| format!("data: {error}"))?;
        if !matches!(data, Json::Object(_)) {
            return Err("data must be an object".to_owned());
        }
        Ok(Self {
            text: data.to_text(),
            session: data.text("sessionId").ok().flatten().map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_text_and_no_name_is_magic() {
        let text =
            r#"{ "a": 1E5, "b": 1e400, "c": -0.10, "d": {"$serde_json::private::Number": "12"}, "sessionId": "s" }"#;
        let read = PublishedData::read(text).unwrap();
        assert_eq!(
            read.text,
            text.replace(": ", ":")
                .replace(", ", ",")
                .replace("{ ", "{")
                .replace(" }", "}")
        );
        assert_eq!(read.session.as_deref(), Some("s"));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert_eq!(PublishedData::read("[1]").unwrap_err(), "data must be an object");
        let wrong = PublishedData::read(r#"{"a":"\ud800"}"#).unwrap_err();
        assert!(wrong.starts_with("data: invalid JSON at byte "), "{wrong}");
    }
}
