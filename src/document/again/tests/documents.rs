//! Random documents that are right, entry by entry, and what may become of them.

use crate::document::Format;
use crate::document::edit::properties::documents::Random;

/// A document as its parts: a change moves, adds or alters some of them.
pub(in crate::document) struct Draft {
    format: Format,
    eol: &'static str,
    head: Vec<String>,
    tail: Vec<String>,
    /// Inbound and outbound webhooks, each as lines.
    sides: [Vec<Vec<String>>; 2],
    made: usize,
}

const SIDES: [&str; 2] = ["inbound", "outbound"];

const SETTINGS: [&str; 3] = [
    "server: { publicUrl: \"https://hooks.example.com\" }",
    "egress: {}",
    "admin: { listen: \"127.0.0.1:8795\" }",
];

const DEFAULTS: [&str; 3] = [
    "defaults: { outbound: { timeout: \"7s\" } }",
    "defaults: { outbound: { timeout: \"7s\" }, inbound: { channel: \"all\" } }",
    "defaults: { inbound: { publicKey: \"wrong\" } }",
];

/// In YAML and, without line ends, in JSON5.
const FIELDS: [&str; 16] = [
    "events: [\"message.received\", 'message.sent']",
    "description: 'it # no'",
    "description: \"a \\\"b\\\" {\"",
    "labels: { team: \"a\" }",
    "secret: { env: \"A_SECRET\" }",
    "timeout: \"5s\"",
    "retries: 3",
    "paused: true",
    "from: [\"FROM\"]",
    "retryDelay: \"5s\"",
    "description: |\n  a: b\n    w2:\n  # no",
    "description: |+\n  text\n\n",
    "description: >-\n  a\n\n  b\n",
    "description: plain text\n  that goes on",
    "labels:\n  team: a\n  x: \"1\"",
    "events:\n- message.received\n-  message.sent",
];

const AGENT: &str = "agentHook: { reply: \"channel\" }, format: \"agent-hook\", auth: { bearer: { env: \"T\" } }";

impl Draft {
    pub(in crate::document) fn random(random: &mut Random, format: Format) -> Self {
        let mut draft = Self {
            format,
            eol: random.pick(&["\n", "\n", "\r\n"]),
            head: Vec::new(),
            tail: Vec::new(),
            sides: [Vec::new(), Vec::new()],
            made: 0,
        };
        for parts in [SETTINGS, DEFAULTS] {
            if random.one_in(2) {
                let part = random.pick(&parts).to_owned();
                let place = if random.one_in(2) {
                    &mut draft.head
                } else {
                    &mut draft.tail
                };
                place.push(part);
            }
        }
        for side in [0, 1] {
            for _ in 0..random.below(9) {
                let entry = draft.entry(random, side);
                draft.sides[side].push(entry);
            }
        }
        draft
    }

    fn entry(&mut self, random: &mut Random, side: usize) -> Vec<String> {
        self.made += 1;
        let name = format!("{}{}", random.pick(&["x", "w", "a.b-"]), self.made);
        let written = match random.below(6) {
            0 => format!("'{name}'"),
            1 if !name.contains(['.', '-']) || self.format == Format::Yaml => name.clone(),
            _ => format!("\"{name}\""),
        };
        let mut fields = if side == 0 {
            Self::inbound(random)
        } else {
            self.outbound(random, &name)
        };
        let mut lines: Vec<String> = Vec::new();
        if random.one_in(4) {
            lines.push(String::new());
        }
        if random.one_in(4) {
            lines.push(format!("{} above {name}: '\"{{[", self.sign()));
        }
        let json = self.format == Format::Json5;
        if json || random.one_in(4) {
            fields.retain(|field| !field.contains('\n'));
            if !json || random.one_in(3) {
                lines.push(format!("{written}: {{ {} }}", fields.join(", ")));
                return lines;
            }
        }
        while random.one_in(2) {
            fields.insert(
                random.below(fields.len() + 1),
                format!("{} a: \"note\", }}", self.sign()),
            );
        }
        lines.push(format!(
            "{written}:{}",
            if json { " {" } else { random.pick(&["", " # c"]) }
        ));
        let comma = |line: &str| json && !line.starts_with('/');
        let inner = fields.iter().flat_map(|field| field.split('\n'));
        lines.extend(inner.map(|line| match line {
            "" => String::new(),
            line if comma(line) => format!("  {line},"),
            line => format!("  {line}"),
        }));
        if json {
            lines.push("}".to_owned());
        }
        lines
    }

    fn inbound(random: &mut Random) -> Vec<String> {
        let fields: &[&str] = match random.below(6) {
            0 => &["platform: \"telegram\"", "secret: { env: \"T\" }"],
            1 => &[
                "platform: 'generic'",
                "secret: { env: \"T\" }",
                "signature: { header: \"X-S\" }",
            ],
            2 => &["platform: \"github\"", "verifySignature: false"],
            3 => &["platform: \"discord\"", "publicKey: \"nothing\""],
            4 => &["platform: \"dingtalk\"", "secret: { env: \"T\" }"],
            _ => &["platform: 'token'", "secret: \"hunter2\""],
        };
        let mut fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        if random.one_in(4) {
            fields.push(format!("path: \"/p/{}\"", random.below(1000)));
        }
        if random.one_in(4) {
            fields.push("paused: true".to_owned());
        }
        fields
    }

    fn outbound(&self, random: &mut Random, name: &str) -> Vec<String> {
        let mut fields = vec![format!("url: \"https://{name}.example.com/a\"")];
        let names: Vec<&str> = self.sides[0].iter().filter_map(|lines| key(lines)).collect();
        for _ in 0..random.below(4) {
            let field = random.pick(&FIELDS);
            if field.contains("FROM") && names.is_empty() {
                continue;
            }
            let from = if names.is_empty() {
                ""
            } else {
                names[random.below(names.len())]
            };
            let (name, _) = field.split_once(':').expect("a field has a value");
            if fields.iter().all(|field| !field.starts_with(name)) {
                fields.push(field.replace("FROM", from));
            }
        }
        let dingtalk = self.sides[0].concat().iter().any(|line| line.contains("dingtalk"));
        let from = fields.iter().any(|field| field.starts_with("from"));
        if !dingtalk && !from && random.one_in(8) {
            let inside = if self.format == Format::Yaml {
                AGENT.replace("}, ", "}\n")
            } else {
                AGENT.to_owned()
            };
            fields.push(
                inside
                    .replace("hook\", ", "hook\"\n")
                    .replace('\n', if self.format == Format::Yaml { "\n" } else { ", " }),
            );
        }
        fields
    }

    fn sign(&self) -> &'static str {
        if self.format == Format::Yaml { "#" } else { "//" }
    }

    pub(in crate::document) fn text(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        let json = self.format == Format::Json5;
        let comma = if json { "," } else { "" };
        lines.push(if json { "{ webhooks: {" } else { "webhooks:" }.to_owned());
        lines.extend(self.head.iter().map(|part| format!("  {part}{comma}")));
        for (side, entries) in SIDES.iter().zip(&self.sides) {
            if entries.is_empty() {
                continue;
            }
            lines.push(format!("  {side}:{}", if json { " {" } else { "" }));
            for entry in entries {
                let last = entry.len() - 1;
                lines.extend(
                    entry
                        .iter()
                        .enumerate()
                        .map(|(i, line)| match (line.is_empty(), i == last) {
                            (true, _) => String::new(),
                            (false, true) => format!("    {line}{comma}"),
                            (false, false) => format!("    {line}"),
                        }),
                );
            }
            if json {
                lines.push("  },".to_owned());
            }
        }
        lines.extend(self.tail.iter().map(|part| format!("  {part}{comma}")));
        lines.push("  store: { path: \"./state\" }".to_owned());
        if json {
            lines.push("} }".to_owned());
        }
        lines.push(String::new());
        lines.join(self.eol)
    }

    /// Something that a person would do.
    pub(in crate::document) fn change(&mut self, random: &mut Random) {
        let side = usize::from(!random.one_in(3));
        let count = self.sides[side].len();
        let new = self.entry(random, side);
        let entries = &mut self.sides[side];
        if count == 0 {
            entries.push(new);
            return;
        }
        let i = random.below(count);
        match random.below(10) {
            0 | 1 => entries.insert(random.below(count + 1), new),
            2 => drop(entries.remove(i)),
            3 => entries[i] = new,
            4 => {
                let moved = entries.remove(i);
                entries.insert(random.below(count), moved);
            }
            5 => {
                let same = entries[random.below(count)].clone();
                entries.insert(i, same);
            }
            6 => {
                let line = random.below(entries[i].len());
                entries[i].remove(line);
                if entries[i].is_empty() {
                    entries.remove(i);
                }
            }
            7 => {
                let (from, to) = random.pick(&[
                    (".example", ".test"),
                    ("telegram", "dingtalk"),
                    ("false", "true"),
                    ("/p/", "/p/1"),
                    ("3", "4"),
                    ("w", "v"),
                ]);
                for line in &mut entries[i] {
                    *line = line.replace(from, to);
                }
            }
            _ => {
                let field = random.pick(&[
                    "timeout: \"9s\"",
                    "paused: false",
                    "description: 'x'",
                    "previousName: \"w1\"",
                ]);
                let is_key = |line: &String| key(std::slice::from_ref(line)).is_some();
                let line = entries[i].iter().position(is_key).unwrap_or(0);
                let text = &mut entries[i][line];
                if let Some(brace) = text.find('{') {
                    text.insert_str(brace + 1, &format!(" {field}, "));
                } else {
                    entries[i].insert(line + 1, format!("  {field}"));
                }
            }
        }
    }

    /// The sides with the names of their webhooks.
    pub(in crate::document) fn names(&self) -> [Vec<String>; 2] {
        let names = |entries: &Vec<Vec<String>>| {
            entries
                .iter()
                .filter_map(|lines| key(lines))
                .map(str::to_owned)
                .collect()
        };
        [names(&self.sides[0]), names(&self.sides[1])]
    }
}

/// The name of an entry.
fn key(lines: &[String]) -> Option<&str> {
    let line = lines
        .iter()
        .find(|line| !line.is_empty() && !line.starts_with(['#', '/']))?;
    line.split(':').next().map(|name| name.trim_matches(['"', '\'']))
}

/// What an editor, or a cat on the keys, may do to a text.
pub(in crate::document) fn damaged(text: &str, random: &mut Random) -> String {
    const PIECES: [&str; 40] = [
        "\"",
        "'",
        "[",
        "]",
        "{",
        "}",
        ":",
        ": ",
        ",",
        "|",
        ">",
        "#",
        " #",
        "// ",
        "/*",
        "*/",
        "\n",
        "\r",
        "\r\n",
        "\t",
        " ",
        "  ",
        "    ",
        "---\n",
        "\n---\n",
        "...\n",
        "&a ",
        "*a",
        "!x ",
        "<<: {}\n",
        "? ",
        "- ",
        "%",
        "\u{2028}",
        "\u{85}",
        "\u{feff}",
        "  defaults: {outbound: {timeout: 1s}}\n",
        "\n    w1: {url: \"https://x\"}\n",
        "  outbound:\n",
        "\\",
    ];
    let boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let line = |at: usize| text[at..].find('\n').map_or(at, |n| at + n);
    let mut at = boundary(random.below(text.len() + 1));
    // Half of it at the ends of lines: there it may still be read.
    if random.one_in(2) {
        at = line(at);
    }
    let gone = match random.below(5) {
        0 | 1 => 0,
        2 => 1,
        3 => random.below(8),
        _ => random.below(200),
    };
    let mut end = boundary((at + gone).min(text.len())).max(at);
    if random.one_in(6) {
        end = line(end);
    }
    let piece = if random.one_in(4) { "" } else { random.pick(&PIECES) };
    // Sometimes twice: a quote here and one there.
    let second = boundary(end + random.below(text.len() - end + 1)).max(end);
    let twice = if random.one_in(6) { piece } else { "" };
    format!("{}{piece}{}{twice}{}", &text[..at], &text[end..second], &text[second..])
}
