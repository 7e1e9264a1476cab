//! Diagnostics for people (text), programs (JSON) and reviews (GitHub annotations, SARIF).

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde_json::{Value as Json, json};
use unicode_width::UnicodeWidthChar;

use super::{Code, Diagnostic, Severity};

/// As a compiler shows them, with a summary line; `colour` adds ANSI colours, which carry nothing by themselves.
#[must_use]
pub fn text(diagnostics: &[Diagnostic], colour: bool) -> String {
    let paint = |style: Style, text: &str| {
        if colour {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    };
    let bold = Style::new().bold();
    let frame = AnsiColor::BrightBlue.on_default().bold();
    let mut out = String::new();
    for d in diagnostics {
        let level = match d.severity {
            Severity::Error => AnsiColor::BrightRed.on_default().bold(),
            Severity::Warning => AnsiColor::Yellow.on_default().bold(),
            Severity::Note => AnsiColor::BrightGreen.on_default().bold(),
        };
        let head = format!("{}[{}]", d.severity.as_str(), d.code.as_str());
        let path = if d.path.is_empty() {
            String::new()
        } else {
            format!("{}: ", d.path)
        };
        let _ = writeln!(
            out,
            "{}{}",
            paint(level, &head),
            paint(bold, &format!(": {path}{}", d.message))
        );
        let number = d.line.to_string();
        let gutter = " ".repeat(number.len());
        if d.line == 0 {
            let _ = writeln!(out, " {} {}", paint(frame, "-->"), d.file);
        } else {
            let _ = writeln!(
                out,
                "{gutter}{} {}:{}:{}",
                paint(frame, "-->"),
                d.file,
                d.line,
                d.column
            );
        }
        if let Some(shown) = &d.shown {
            let width = |text: &str| text.chars().map(|c| c.width().unwrap_or(1)).sum::<usize>();
            let cut = |from: u32, n: u32| {
                shown
                    .text
                    .chars()
                    .skip(from as usize)
                    .take(n as usize)
                    .collect::<String>()
            };
            let indent = " ".repeat(width(&cut(0, shown.start)));
            let marks = "^".repeat(width(&cut(shown.start, shown.length)).max(1));
            let _ = writeln!(out, "{gutter} {}", paint(frame, "|"));
            let _ = writeln!(
                out,
                "{} {} {}",
                paint(frame, &number),
                paint(frame, "|"),
                shown.text.trim_end()
            );
            let _ = writeln!(out, "{gutter} {} {indent}{}", paint(frame, "|"), paint(level, &marks));
        }
        for hint in &d.hints {
            let _ = writeln!(out, "{gutter} {} {}: {hint}", paint(frame, "="), paint(bold, "hint"));
        }
        out.push('\n');
    }
    out
}

fn hints(diagnostic: &Diagnostic) -> String {
    let hints = diagnostic.hints.iter();
    hints.fold(String::new(), |text, hint| text + "\nhint: " + hint)
}

/// `3 errors, 1 warning`; notes are not counted.
#[must_use]
pub fn summary(diagnostics: &[Diagnostic]) -> String {
    let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let say = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    format!(
        "{}, {}",
        say(count(Severity::Error), "error"),
        say(count(Severity::Warning), "warning")
    )
}

/// One JSON object per diagnostic, in a list.
#[must_use]
pub fn json(diagnostics: &[Diagnostic]) -> Json {
    diagnostics
        .iter()
        .map(|d| {
            json!({
                "code": d.code.as_str(),
                "severity": d.severity.as_str(),
                "file": &*d.file,
                "path": d.path,
                "line": d.line,
                "column": d.column,
                "message": d.message,
                "hints": d.hints,
                "shown": d.shown.as_ref().map(|shown| &shown.text),
            })
        })
        .collect()
}

/// GitHub's workflow commands, one a line: they become annotations of a pull request.
#[must_use]
pub fn github(diagnostics: &[Diagnostic]) -> String {
    let value = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| value(text).replace(':', "%3A").replace(',', "%2C");
    let mut out = String::new();
    for d in diagnostics {
        let command = match d.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let _ = write!(out, "::{command} file={}", property(&d.file));
        if d.line > 0 {
            let _ = write!(out, ",line={},col={}", d.line, d.column);
        }
        let path = if d.path.is_empty() {
            String::new()
        } else {
            format!("{}: ", d.path)
        };
        let hints = hints(d);
        let _ = writeln!(
            out,
            ",title={}::{}",
            property(d.code.as_str()),
            value(&format!("{path}{}{hints}", d.message))
        );
    }
    out
}

/// SARIF 2.1.0, as code-scanning services read it.
#[must_use]
pub fn sarif(diagnostics: &[Diagnostic]) -> Json {
    let level = |severity| match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let mut used: Vec<Code> = diagnostics.iter().map(|d| d.code).collect();
    used.sort_unstable();
    used.dedup();
    let rules: Vec<Json> = used
        .iter()
        .map(|code| {
            json!({
                "id": code.as_str(),
                "shortDescription": { "text": code.title() },
                "fullDescription": { "text": code.explanation() },
                "defaultConfiguration": { "level": level(code.severity()) },
            })
        })
        .collect();
    let results: Vec<Json> = diagnostics
        .iter()
        .map(|d| {
            let hints = hints(d);
            let path = if d.path.is_empty() {
                String::new()
            } else {
                format!("{}: ", d.path)
            };
            let mut location = json!({ "artifactLocation": { "uri": d.file.replace('\\', "/") } });
            if d.line > 0 {
                location["region"] = json!({ "startLine": d.line, "startColumn": d.column });
            }
            json!({
                "ruleId": d.code.as_str(),
                "level": level(d.severity),
                "message": { "text": format!("{path}{}{hints}", d.message) },
                "locations": [{ "physicalLocation": location }],
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "openclaw", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Format, Source, load};

    fn found() -> Vec<Diagnostic> {
        let text = "webhooks:\n  outbound:\n    größer: {}\n    a: { url: 'https://a.example', secret: hunter2, retires: x, timeout: 5% }\n";
        load(&Source {
            path: "conf,1/openclaw.yaml",
            format: Format::Yaml,
            text: text.as_bytes(),
        })
        .diagnostics
    }

    #[test]
    fn people_see_the_line_and_the_place() {
        let shown = text(&found(), false);
        let expected = "error[OC102]: webhooks.outbound.a.retires: unknown field `retires`
 --> conf,1/openclaw.yaml:4:53
  |
4 |     a: { url: 'https://a.example', secret: ***, retires: ***, timeout: 5% }
  |                                                 ^^^^^^^
  = hint: did you mean `retries`?
";
        assert!(shown.contains(expected), "{shown}");
        assert!(
            !shown.contains('\u{1b}') && text(&found(), true).contains('\u{1b}'),
            "colour is optional"
        );
        assert_eq!(summary(&found()), "3 errors, 0 warnings");
    }

    #[test]
    fn a_review_gets_one_line_each_with_its_specials_escaped() {
        let lines = github(&found());
        assert_eq!(lines.lines().count(), 3);
        let expected = "::error file=conf%2C1/openclaw.yaml,line=4,col=74,title=OC112::webhooks.outbound.a.timeout: `5%25` is not a duration%0Ahint: ";
        assert!(lines.contains(expected), "{lines}");
    }

    #[test]
    fn programs_get_every_part() {
        let list = json(&found());
        assert_eq!(list[1]["code"], "OC102");
        assert_eq!(
            (list[1]["line"].as_u64(), list[1]["column"].as_u64()),
            (Some(4), Some(53))
        );
        assert_eq!(list[1]["hints"][0], "did you mean `retries`?");
        let sarif = sarif(&found());
        let run = &sarif["runs"][0];
        assert_eq!(run["tool"]["driver"]["rules"].as_array().map(Vec::len), Some(3));
        assert_eq!(
            run["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"],
            3
        );
        assert!(!sarif.to_string().contains("hunter2"));
    }
}
