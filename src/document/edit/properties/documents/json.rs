//! Random documents in JSON and JSON5.

use std::fmt::Write as _;

use super::{Maker, Side};

impl Maker<'_> {
    pub(super) fn json(&mut self) {
        let tall = !self.random.one_in(4);
        if tall {
            self.json_tall();
        } else {
            let mut text = "{".to_owned() + &self.json_key("webhooks") + ": {";
            for (i, side) in [Side::Inbound, Side::Outbound].into_iter().enumerate() {
                let comma = if i > 0 { ", " } else { "" };
                write!(text, "{comma}{}: {{", self.json_key(side.key())).unwrap();
                for (i, name) in self.names().iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(text, "{comma}{}", self.json_flow_entry(side, name)).unwrap();
                }
                text.push('}');
            }
            text.push_str("}}");
            self.line(0, &text, &[], true);
        }
    }

    fn json_key(&mut self, key: &str) -> String {
        match self.random.below(3) {
            0 if !self.document.strict => format!("'{key}'"),
            1 if !self.document.strict && key.chars().all(char::is_alphabetic) => key.to_owned(),
            _ => format!("\"{key}\""),
        }
    }

    fn json_value(&mut self) -> String {
        let strict = self.document.strict;
        match self.random.below(7) {
            0 => "3".to_owned(),
            1 => "true".to_owned(),
            2 if !strict => "'it\\'s // no'".to_owned(),
            3 => "\"a \\\"b\\\" \\u00e9 /* no */\"".to_owned(),
            4 => "{ \"env\": \"A_SECRET\" }".to_owned(),
            5 if !strict => "[500, 'no', ]".to_owned(),
            _ => "[\"message.received\", \"no\"]".to_owned(),
        }
    }

    fn json_flow_entry(&mut self, side: Side, name: &str) -> String {
        let fields = self.field_names();
        self.note(side, name, &fields);
        let mut text = format!("{}: {{", self.json_key(name));
        for (i, field) in fields.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(text, "{comma}{}: {}", self.json_key(field), self.json_value()).unwrap();
        }
        text.push('}');
        text
    }

    fn json_above(&mut self, indent: usize, owner: &[&str]) {
        if !self.document.strict {
            self.above(indent, owner, "//");
        }
    }

    fn json_trailing(&mut self) -> String {
        if self.document.strict {
            return String::new();
        }
        match self.random.below(6) {
            0 => format!(" // {}", self.comment()),
            1 => format!(" /* {} */", self.comment()),
            _ => String::new(),
        }
    }

    fn json_comma(&mut self, last: bool) -> &'static str {
        if !last || (!self.document.strict && self.random.one_in(3)) {
            ","
        } else {
            ""
        }
    }

    fn json_tall(&mut self) {
        let step = self.step;
        self.json_above(0, &[]);
        self.line(0, "{", &[], true);
        let key = self.json_key("webhooks");
        self.line(step, &format!("{key}: {{"), &[], true);
        for side in [Side::Inbound, Side::Outbound] {
            let names = self.names();
            let key = self.json_key(side.key());
            let comma = self.json_comma(side == Side::Outbound);
            if names.is_empty() {
                self.line(2 * step, &format!("{key}: {{}}{comma}"), &[side.key()], true);
                continue;
            }
            self.json_above(2 * step, &[side.key()]);
            self.line(2 * step, &format!("{key}: {{"), &[side.key()], true);
            for (i, name) in names.iter().enumerate() {
                self.json_above(3 * step, &[side.key(), name]);
                let comma = self.json_comma(i + 1 == names.len());
                self.json_entry(side, name, comma);
            }
            self.line(2 * step, &format!("}}{comma}"), &[side.key()], true);
        }
        self.line(step, "}", &[], true);
        self.line(0, "}", &[], true);
    }

    fn json_entry(&mut self, side: Side, name: &str, comma: &str) {
        let owner = [side.key(), name];
        let tail = self.json_trailing();
        let indent = 3 * self.step;
        if self.random.one_in(4) {
            let entry = self.json_flow_entry(side, name);
            self.line(indent, &format!("{entry}{comma}{tail}"), &owner, true);
            return;
        }
        let fields = self.field_names();
        self.note(side, name, &fields);
        let key = self.json_key(name);
        self.line(indent, &format!("{key}: {{"), &owner, true);
        for (i, field) in fields.iter().enumerate() {
            let owner = [side.key(), name, field];
            self.json_above(indent + self.step, &owner);
            let comma = self.json_comma(i + 1 == fields.len());
            let (key, value, tail) = (self.json_key(field), self.json_value(), self.json_trailing());
            self.line(
                indent + self.step,
                &format!("{key}: {value}{comma}{tail}"),
                &owner,
                false,
            );
        }
        self.line(indent, &format!("}}{comma}{tail}"), &owner, true);
    }
}
