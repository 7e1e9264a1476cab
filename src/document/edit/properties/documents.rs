//! Random documents: each line knows whose it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::document::Format;

mod json; // the same in JSON and JSON5

pub(super) const FIELDS: [&str; 9] = [
    "url",
    "timeout",
    "retries",
    "description",
    "events",
    "secret",
    "paused",
    "channel",
    "path",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Inbound,
    Outbound,
}

impl Side {
    fn key(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// A small generator (splitmix64): a case is its seed.
pub(in crate::document) struct Random(u64);

impl Random {
    pub(in crate::document) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(in crate::document) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }

    pub(in crate::document) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(in crate::document) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: String,
    /// Side, name, field.
    pub(super) owner: Vec<String>,
    /// Holds more than its owner's.
    pub(super) shared: bool,
}

pub(super) struct Document {
    pub(super) lines: Vec<Line>,
    eol: &'static str,
    last_end: bool,
    pub(super) anchors: bool,
    /// JSON that needs no JSON5.
    pub(super) strict: bool,
    entries: BTreeMap<(Side, String), Vec<String>>,
}

impl Document {
    pub(super) fn text(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(|line| line.text.as_str()).collect();
        let mut text = lines.join(self.eol);
        if self.last_end {
            text.push_str(self.eol);
        }
        text
    }

    pub(super) fn entries(&self, side: Side) -> impl Iterator<Item = &String> {
        self.entries
            .keys()
            .filter(move |(s, _)| *s == side)
            .map(|(_, name)| name)
    }

    pub(super) fn fields(&self, side: Side, name: &str) -> &[String] {
        self.entries.get(&(side, name.to_owned())).map_or(&[], Vec::as_slice)
    }
}

struct Maker<'r> {
    random: &'r mut Random,
    document: Document,
    comments: usize,
    step: usize,
    anchors: Vec<String>,
}

pub(super) fn random(random: &mut Random, format: Format) -> Document {
    let document = Document {
        lines: Vec::new(),
        eol: random.pick(&["\n", "\r\n"]),
        last_end: !random.one_in(4),
        anchors: false,
        strict: format == Format::Json5 && random.one_in(3),
        entries: BTreeMap::new(),
    };
    let step = random.pick(&[2, 2, 3, 4]);
    let mut maker = Maker {
        random,
        document,
        comments: 0,
        step,
        anchors: Vec::new(),
    };
    if format == Format::Yaml {
        maker.yaml();
    } else {
        maker.json();
    }
    maker.document
}

impl Maker<'_> {
    fn line(&mut self, indent: usize, text: &str, owner: &[&str], shared: bool) {
        self.document.lines.push(Line {
            text: format!("{}{text}", " ".repeat(indent)),
            owner: owner.iter().map(|s| (*s).to_owned()).collect(),
            shared,
        });
    }

    fn comment(&mut self) -> String {
        self.comments += 1;
        let words = self.random.pick(&["note", "url: x", "a: {b}", "'q", "[", "- x"]);
        format!("c{} {words}", self.comments)
    }

    /// Perhaps blank lines and a comment block above something.
    fn above(&mut self, indent: usize, owner: &[&str], sign: &str) {
        if self.random.one_in(6) {
            if self.random.one_in(2) {
                let note = self.comment();
                let around = &owner[..owner.len().saturating_sub(1)];
                self.line(indent, &format!("{sign} {note}"), around, false);
            }
            self.line(0, "", &[], false);
        }
        if self.random.one_in(3) {
            for _ in 0..=self.random.below(2) {
                let note = self.comment();
                self.line(indent, &format!("{sign} {note}"), owner, false);
            }
        }
    }

    fn trailing(&mut self, sign: &str) -> String {
        if self.random.one_in(4) {
            format!(" {sign} {}", self.comment())
        } else {
            String::new()
        }
    }

    fn names(&mut self) -> Vec<&'static str> {
        let mut names = vec!["a", "bb", "event-logger", "d.e", "7up", "on"];
        let keep = self.random.below(5);
        while names.len() > keep {
            let i = self.random.below(names.len());
            names.remove(i);
        }
        names
    }

    fn field_names(&mut self) -> Vec<&'static str> {
        let mut fields = FIELDS.to_vec();
        let keep = self.random.below(5);
        while fields.len() > keep {
            let i = self.random.below(fields.len());
            fields.remove(i);
        }
        fields
    }

    fn note(&mut self, side: Side, name: &str, fields: &[&str]) {
        let fields = fields.iter().map(|f| (*f).to_owned()).collect();
        self.document.entries.insert((side, name.to_owned()), fields);
    }

    // ---- YAML ----

    fn yaml(&mut self) {
        if self.random.one_in(2) {
            self.line(
                0,
                "# yaml-language-server: $schema=./schema/openclaw.schema.json",
                &[],
                false,
            );
        }
        if self.random.one_in(4) {
            self.document.anchors = true;
            self.line(0, "base: &base", &[], false);
            let step = self.step;
            self.line(step, "timeout: 10s # c", &[], false);
            self.line(step, "labels: { team: a }", &[], false);
            self.anchors.push("base".to_owned());
        }
        self.above(0, &[], "#");
        let tail = self.trailing("#");
        self.line(0, &format!("webhooks:{tail}"), &[], true);
        let step = self.step;
        if self.random.one_in(2) {
            self.line(step, "server: { listen: 127.0.0.1:8790 }", &[], false);
        }
        let mut any = false;
        for side in [Side::Inbound, Side::Outbound] {
            any |= self.yaml_side(side, step);
        }
        if !any {
            self.line(step, "egress: {}", &[], false);
        }
        if self.random.one_in(3) {
            self.above(0, &[], "#");
            self.line(0, "other: [1, 2]", &[], false);
        }
        if self.random.one_in(5) {
            let note = self.comment();
            self.line(0, &format!("# {note}"), &[], false);
        }
    }

    fn yaml_side(&mut self, side: Side, indent: usize) -> bool {
        let names = self.names();
        let key = side.key();
        let quoted = if self.random.one_in(6) {
            format!("\"{key}\"")
        } else {
            key.to_owned()
        };
        if names.is_empty() {
            match self.random.below(4) {
                0 => return false,
                1 => self.line(indent, &format!("{quoted}:"), &[key], true),
                2 => self.line(indent, &format!("{quoted}: {{}} # none"), &[key], true),
                _ => self.line(indent, &format!("{quoted}: {{}}"), &[key], true),
            }
            return true;
        }
        self.above(indent, &[key], "#");
        let tail = self.trailing("#");
        if self.random.one_in(6) {
            // All of it in brackets, one webhook a line.
            self.line(indent, &format!("{quoted}: {{{tail}"), &[key], true);
            let inner = indent + self.step;
            let comma_at_end = self.random.one_in(2);
            for (i, name) in names.iter().enumerate() {
                self.above(inner, &[key, name], "#");
                let entry = self.yaml_flow_entry(side, name);
                let comma = if i + 1 < names.len() || comma_at_end { "," } else { "" };
                let tail = self.trailing("#");
                self.line(inner, &format!("{entry}{comma}{tail}"), &[key, name], true);
            }
            self.line(indent, "}", &[key], true);
            return true;
        }
        self.line(indent, &format!("{quoted}:{tail}"), &[key], true);
        let inner = indent + self.step;
        for name in names {
            self.above(inner, &[key, name], "#");
            self.yaml_entry(side, name, inner);
        }
        if self.random.one_in(6) {
            let note = self.comment();
            self.line(inner, &format!("# {note}"), &[], false);
        }
        true
    }

    fn yaml_key(&mut self, name: &str) -> String {
        match self.random.below(6) {
            0 => format!("\"{name}\""),
            1 => format!("'{name}'"),
            _ if name == "on" || name == "7up" => format!("'{name}'"),
            _ => name.to_owned(),
        }
    }

    fn yaml_flow_entry(&mut self, side: Side, name: &str) -> String {
        let fields = self.field_names();
        self.note(side, name, &fields);
        let pad = self.random.pick(&["", " "]);
        let mut text = format!("{}: {{{pad}", self.yaml_key(name));
        for (i, field) in fields.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(text, "{comma}{field}: {}", self.yaml_inline(field, true)).unwrap();
        }
        text.push_str(pad);
        text.push('}');
        text
    }

    fn yaml_inline(&mut self, field: &str, flow: bool) -> String {
        let choice = self.random.below(9);
        match choice {
            0 => "3".to_owned(),
            1 => "true".to_owned(),
            2 => "'it''s # no comment'".to_owned(),
            3 => "\"a \\\"b\\\" \\u00e9 # no\"".to_owned(),
            4 => "{ env: A_SECRET }".to_owned(),
            5 => "[message.received, 'no', \"x\"]".to_owned(),
            6 if !flow => format!("https://{field}.example/a#b"),
            7 => "频道".to_owned(),
            _ => format!("plain {field}"),
        }
    }

    fn yaml_entry(&mut self, side: Side, name: &str, indent: usize) {
        let key = side.key();
        let written = self.yaml_key(name);
        if self.random.one_in(6) {
            let entry = self.yaml_flow_entry(side, name);
            let tail = self.trailing("#");
            self.line(indent, &format!("{entry}{tail}"), &[key, name], true);
            return;
        }
        if self.document.anchors && self.random.one_in(8) && self.anchors.len() > 1 {
            let anchor = self.random.below(self.anchors.len());
            let anchor = self.anchors[anchor].clone();
            self.line(indent, &format!("{written}: *{anchor}"), &[key, name], true);
            self.document.entries.insert((side, name.to_owned()), Vec::new());
            return;
        }
        let fields = self.field_names();
        self.note(side, name, &fields);
        let anchor = if self.document.anchors && self.random.one_in(5) {
            let anchor = format!("w{}", self.anchors.len());
            self.anchors.push(anchor.clone());
            format!(" &{anchor}")
        } else {
            String::new()
        };
        let merge = self.document.anchors && self.random.one_in(4);
        if fields.is_empty() && !merge {
            self.line(indent, &format!("{written}:{anchor} {{}}"), &[key, name], true);
            return;
        }
        let tail = self.trailing("#");
        self.line(indent, &format!("{written}:{anchor}{tail}"), &[key, name], true);
        let inner = indent + self.step;
        if merge {
            self.line(inner, "<<: *base", &[key, name], false);
        }
        for field in fields {
            let owner = [key, name, field];
            self.above(inner, &owner, "#");
            self.yaml_field(field, inner, &owner);
        }
        if self.random.one_in(6) {
            let note = self.comment();
            self.line(inner, &format!("# {note}"), &[key, name], false);
        }
    }

    fn yaml_field(&mut self, field: &str, indent: usize, owner: &[&str; 3]) {
        let tail = self.trailing("#");
        match self.random.below(9) {
            0 => {
                let style = self.random.pick(&["|", "|-", "|+", ">", ">-", "|2", ">+"]);
                self.line(indent, &format!("{field}: {style}{tail}"), owner, false);
                let deep = indent + if style == "|2" { 2 } else { self.step };
                for text in ["# no comment", "text: x", "", "  more"] {
                    self.line(if text.is_empty() { 0 } else { deep }, text, owner, false);
                }
                for _ in 0..self.random.below(3) {
                    // Blank lines at the end: content of `|+`, none of the others.
                    self.line(0, "", owner, false);
                }
            }
            1 => {
                self.line(indent, &format!("{field}:{tail}"), owner, false);
                let dash = indent + self.random.pick(&[0, self.step]);
                for item in ["message.received", "'no'", "\"x\""] {
                    let tail = self.trailing("#");
                    self.line(dash, &format!("- {item}{tail}"), owner, false);
                }
            }
            2 => {
                self.line(indent, &format!("{field}: [{tail}"), owner, false);
                let inner = indent + self.step;
                let first = self.random.pick(&["message.received,", "\"message.received\","]);
                self.line(inner, first, owner, false);
                let tail = self.trailing("#");
                self.line(inner, &format!("'no'{tail}"), owner, false);
                self.line(indent, "]", owner, false);
            }
            3 => {
                self.line(indent, &format!("{field}: plain text"), owner, false);
                self.line(indent + self.step, &format!("that goes on{tail}"), owner, false);
            }
            4 => {
                self.line(indent, &format!("{field}:{tail}"), owner, false);
                self.line(indent + self.step, "env: A_SECRET", owner, false);
            }
            _ => {
                let value = self.yaml_inline(field, false);
                let field = self.yaml_key(field);
                self.line(indent, &format!("{field}: {value}{tail}"), owner, false);
            }
        }
    }
}
