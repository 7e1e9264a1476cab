//! How each cost grows, as tables and as drawings.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::load::rate_over;
use super::neighbours::fan_out;
use super::{measure_backlog, runtime, scale, start_bare, start_gateway};

/// A line of a drawing: its name, and points by growing x.
type Line = (&'static str, Vec<(f64, f64)>);

/// Measures, prints and draws.
#[allow(clippy::cast_precision_loss)] // small whole numbers
pub(super) fn measure(run: Duration, directory: &Path) {
    std::fs::create_dir_all(directory).expect("the directory can be made");
    let put = |name: &str, drawing: &Drawing| {
        println!("{}", drawing.table());
        std::fs::write(directory.join(name), drawing.svg()).expect("the drawing can be written");
    };

    let (mut bare, mut accepted) = (Vec::new(), Vec::new());
    for connections in [1, 4, 16, 64, 128, 256, 512] {
        for (server, line) in [(start_bare(), &mut bare), (start_gateway(""), &mut accepted)] {
            let figure = runtime(2).block_on(rate_over(connections, &server, run));
            line.push((connections as f64, figure.rate));
        }
    }
    put(
        "load.svg",
        &Drawing {
            title: "Requests a second",
            x: "connections",
            lines: vec![("bare server", bare), ("accepted, durable", accepted)],
            log_y: false,
        },
    );

    let backlogs = [1_000, 10_000, 100_000].map(|events| (events as f64, measure_backlog(events)));
    put(
        "backlog.svg",
        &Drawing {
            title: "Resident memory (MiB)",
            x: "events that wait",
            lines: vec![("resident", backlogs.to_vec())],
            log_y: false,
        },
    );

    let senders = [1, 10, 100, 1_000].map(|senders| (senders as f64, fan_out(senders)));
    put(
        "senders.svg",
        &Drawing {
            title: "One event, delivered to all (ms)",
            x: "senders",
            lines: vec![("until the last", senders.to_vec())],
            log_y: true,
        },
    );

    let (mut starts, mut changes) = (Vec::new(), Vec::new());
    for webhooks in [100, 1_000, 10_000, 100_000] {
        let figures = scale::figures(scale::Form::Yaml, webhooks);
        starts.push((webhooks as f64, figures.again));
        changes.push((webhooks as f64, figures.change));
    }
    put(
        "document.svg",
        &Drawing {
            title: "Seconds",
            x: "webhooks in the document",
            lines: vec![("start", starts), ("one changed field", changes)],
            log_y: true,
        },
    );
}

struct Drawing {
    title: &'static str,
    x: &'static str,
    lines: Vec<Line>,
    log_y: bool,
}

impl Drawing {
    fn table(&self) -> String {
        let mut text = format!("| {} |", self.x);
        for (name, _) in &self.lines {
            let _ = write!(text, " {name} |");
        }
        let _ = write!(text, "\n|{}", "---:|".repeat(self.lines.len() + 1));
        for (at, &(x, _)) in self.lines[0].1.iter().enumerate() {
            let _ = write!(text, "\n| {x} |");
            for (_, points) in &self.lines {
                let _ = write!(text, " {} |", short(points[at].1));
            }
        }
        format!("\n{}\n\n{text}", self.title)
    }

    /// Lines over a logarithmic x axis; every point has its value beside it.
    fn svg(&self) -> String {
        const WIDTH: f64 = 640.0;
        const HEIGHT: f64 = 320.0;
        const LEFT: f64 = 56.0;
        const TOP: f64 = 40.0;
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let xs = || points().map(|(x, _)| x.log10());
        let y_of = |y: f64| if self.log_y { y.log10() } else { y };
        let (least_x, most_x) = (xs().fold(f64::MAX, f64::min), xs().fold(f64::MIN, f64::max));
        let ys = || points().map(|(_, y)| y_of(*y));
        let least_y = if self.log_y { ys().fold(f64::MAX, f64::min) } else { 0.0 };
        let most_y = ys().fold(f64::MIN, f64::max);
        let at = |x: f64, y: f64| {
            (
                LEFT + (x.log10() - least_x) / (most_x - least_x) * (WIDTH - 2.0 * LEFT),
                HEIGHT - TOP - (y_of(y) - least_y) / (most_y - least_y).max(1e-9) * (HEIGHT - 2.5 * TOP),
            )
        };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{}</text>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n",
            self.title,
            WIDTH - LEFT,
            HEIGHT - 6.0,
            self.x
        );
        for ((name, points), (top_of_name, colour)) in self.lines.iter().zip([(16.0, "#888888"), (30.0, "#c2410c")]) {
            let path: Vec<String> = points
                .iter()
                .map(|&(x, y)| at(x, y))
                .map(|(x, y)| format!("{x:.1},{y:.1}"))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join(" ")
            );
            for &(x, y) in points {
                let (left, top) = at(x, y);
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{left:.1}\" cy=\"{top:.1}\" r=\"3\" fill=\"{colour}\"/>\
                     <text x=\"{left:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{colour}\">{}</text>\
                     <text x=\"{left:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x}</text>",
                    top - 7.0,
                    short(y),
                    HEIGHT - TOP + 18.0
                );
            }
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>",
                WIDTH - LEFT,
                top_of_name
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// Three digits are enough.
fn short(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 1.0 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}
