//! The XML of WeCom: elements that hold text. No DTD, no entities but XML's own five and characters by number.

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};

use super::json::Json;

/// How deep elements may nest.
const MAX_DEPTH: usize = 16;

/// How many elements a document may have.
const MAX_ELEMENTS: usize = 1000;

/// Why the bytes are no XML of this kind. Says nothing of what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid XML: {0}")]
pub(super) struct InvalidXml(&'static str);

/// An element that is open.
#[derive(Default)]
struct Element {
    name: String,
    text: String,
    inside: Vec<(String, Json<'static>)>,
}

impl Element {
    fn open(tag: &BytesStart<'_>) -> Self {
        Self {
            name: tag.name().as_ref().to_owned(),
            ..Self::default()
        }
    }

    /// Its text, or the elements inside it; of a repeated name the first.
    fn close(self) -> Json<'static> {
        if self.inside.is_empty() {
            return Json::Text(self.text.into());
        }
        let mut members: Vec<(std::borrow::Cow<'static, str>, Json<'static>)> = Vec::new();
        for (name, value) in self.inside {
            if !members.iter().any(|(n, _)| *n == name) {
                members.push((name.into(), value));
            }
        }
        Json::Object(members)
    }
}

/// The root's elements as an object: of texts, and of objects where elements are inside.
pub(super) fn read(bytes: &[u8]) -> Result<Json<'static>, InvalidXml> {
    let text = std::str::from_utf8(bytes).map_err(|_| InvalidXml("the text is not UTF-8"))?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    reader.config_mut().expand_empty_elements = true;
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    let mut elements = 0;
    loop {
        let event = reader.read_event().map_err(|_| InvalidXml("it is not well-formed"))?;
        match event {
            Event::Start(tag) => {
                elements += 1;
                if open.is_empty() && root.is_some() {
                    return Err(InvalidXml("something follows the root element"));
                }
                if open.len() >= MAX_DEPTH || elements > MAX_ELEMENTS {
                    return Err(InvalidXml("more than 16 deep, or more than 1000 elements"));
                }
                open.push(Element::open(&tag));
            }
            Event::End(_) => {
                let element = open.pop().ok_or(InvalidXml("it is not well-formed"))?;
                match open.last_mut() {
                    Some(around) => {
                        let name = element.name.clone();
                        around.inside.push((name, element.close()));
                    }
                    None if element.inside.is_empty() => root = Some(Json::Object(Vec::new())),
                    None => root = Some(element.close()),
                }
            }
            Event::Text(part) => add(&mut open, &part.xml10_content())?,
            Event::CData(part) => add(&mut open, &part.xml10_content())?,
            Event::GeneralRef(name) => {
                let by_number = name
                    .resolve_char_ref()
                    .map_err(|_| InvalidXml("a reference to no character"))?;
                if let Some(character) = by_number {
                    add(&mut open, character.encode_utf8(&mut [0; 4]))?;
                } else {
                    let known = resolve_xml_entity(&name).ok_or(InvalidXml("entities are not resolved"))?;
                    add(&mut open, known)?;
                }
            }
            Event::DocType(_) => return Err(InvalidXml("a DTD is not read")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Empty(_) => {}
            Event::Eof => break,
        }
    }
    match root {
        Some(root) if open.is_empty() => Ok(root),
        _ => Err(InvalidXml("the root element is missing, or its end")),
    }
}

/// Adds to the text of the innermost element; outside of the root only blanks may stand.
fn add(open: &mut [Element], part: &str) -> Result<(), InvalidXml> {
    match open.last_mut() {
        Some(element) => element.text.push_str(part),
        None if part.trim_ascii().is_empty() => {}
        None => return Err(InvalidXml("text stands outside of the root element")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(xml: &str) -> Result<String, &'static str> {
        read(xml.as_bytes()).map(|json| json.to_text()).map_err(|error| error.0)
    }

    #[test]
    fn elements_are_members() {
        assert_eq!(
            text(
                "<?xml version=\"1.0\"?>\n<xml> <A><![CDATA[<b> & ]]></A><B a='1'>1 &amp; &lt;2&#x4f60;&#33;</B><C/><A>2</A>\n<!-- x --></xml>\n"
            ),
            Ok(r#"{"A":"<b> & ","B":"1 & <2你!","C":""}"#.to_owned())
        );
        assert_eq!(
            text("<xml><I><X>1</X> <Y>2</Y></I></xml>"),
            Ok(r#"{"I":{"X":"1","Y":"2"}}"#.to_owned())
        );
        assert_eq!(text("<xml/>"), Ok("{}".to_owned()));
    }

    #[test]
    fn nothing_is_resolved_but_xmls_own() {
        for bad in [
            "<!DOCTYPE a [<!ENTITY e 'boom'>]><xml><A>&e;</A></xml>",
            "<!DOCTYPE xml><xml/>",
            "<xml><!DOCTYPE a></xml>",
            "<xml><A>&e;</A></xml>",
            "<xml><A>&#0;</A></xml>",
            "<xml><A>&#xd800;</A></xml>",
            "<xml><A>&amp</A></xml>",
            "<xml><A></B></xml>",
            "<xml><A></xml>",
            "<xml>",
            "</xml>",
            "<xml/><xml/>",
            "<xml/>x",
            "x<xml/>",
            "x",
            "",
        ] {
            assert!(text(bad).is_err(), "{bad}");
        }
        assert!(read(b"<xml>\xff</xml>").is_err());
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let deep = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
        assert!(text(&deep(MAX_DEPTH)).is_ok());
        assert!(text(&deep(MAX_DEPTH + 1)).is_err());
        let wide = |n: usize| format!("<xml>{}</xml>", "<a/>".repeat(n));
        assert!(text(&wide(MAX_ELEMENTS - 1)).is_ok());
        assert!(text(&wide(MAX_ELEMENTS)).is_err());
    }
}
