//! Flow style, which is JSON's and JSON5's too: members in brackets with commas between.

use super::block::is_blank;
use super::lines;
use super::walk::{Changes, Child, Members, Refusal, Step, Walk};
use crate::document::Format;
use crate::document::text::{Data, Node};

impl Walk<'_> {
    pub(super) fn flow_children(&self, map: &Members<'_>) -> Vec<Child> {
        let own = map.own.iter().map(|entry| {
            let (at, end) = (entry.at as usize, entry.value.end as usize);
            let empty = matches!(entry.value.target().data, Data::Null)
                && self.text[entry.value.at as usize..end]
                    .trim_matches([' ', '\n', '\r', ',', '}'])
                    .is_empty();
            let colon = || self.after_colon(entry.end as usize).unwrap_or(entry.end as usize);
            Child {
                at,
                end: if empty { colon() } else { end },
            }
        });
        let merges = map.merges.iter().map(|merge| Child {
            at: merge.start as usize,
            end: merge.end as usize,
        });
        let mut children: Vec<_> = own.chain(merges).collect();
        children.sort_by_key(|child| child.at);
        children
    }

    /// The indentation of members on lines of their own.
    pub(super) fn flow_indent(&self, node: &Node<'_>, children: &[Child]) -> String {
        let own = children.iter().rev().find(|child| self.begins_line(child.at));
        if let Some(child) = own {
            return self.text[lines::start(self.text, child.at)..child.at].to_owned();
        }
        let line = lines::at(self.text, lines::start(self.text, node.at as usize));
        format!("{}{}", lines::indent(line), self.style.step)
    }

    /// Removes and adds members of a flow container. `tall`: of an empty one the members get lines of their own.
    pub(super) fn flow(&mut self, node: &Node<'_>, children: &[Child], changes: Changes, tall: bool) -> Step {
        let (open, close) = (node.at as usize + 1, node.end as usize - 1);
        let commas = children
            .iter()
            .map(|child| self.comma(child.end, close))
            .collect::<Step<Vec<_>>>()?;
        let ends: Vec<usize> = children
            .iter()
            .zip(&commas)
            .map(|(child, comma)| comma.map_or(child.end, |comma| comma + 1))
            .collect();
        let kept: Vec<usize> = (0..children.len()).filter(|i| !changes.removed[*i]).collect();
        let Some(last) = kept.last().copied() else {
            return self.renewed(node, children, &ends, changes, tall);
        };
        let trailing = commas.last().copied().flatten().is_some();
        let at_the_end = changes
            .added
            .iter()
            .any(|(behind, _)| behind.is_some_and(|i| i >= last));
        if let Some(comma) = commas[last].filter(|_| !trailing && last + 1 < children.len() && !at_the_end) {
            self.splice(comma, comma + 1, "");
        }
        // What goes at the end of a line goes in one piece.
        let behind = last + 1..children.len();
        let one_piece = behind.clone().all(|i| {
            self.text[ends[i - 1]..children[i].at]
                .trim_matches([' ', '\t'])
                .is_empty()
        });
        if one_piece && !behind.is_empty() {
            self.splice(ends[last], ends[children.len() - 1], "");
        }
        for i in (0..children.len()).filter(|i| changes.removed[*i] && !(one_piece && behind.contains(i))) {
            self.remove(children, &ends, i, open, close);
        }
        let indent = self.flow_indent(node, children);
        for (n, (place, item)) in changes.added.iter().enumerate() {
            let final_one = at_the_end && n + 1 == changes.added.len();
            let comma = if final_one && !trailing { "" } else { "," };
            let Some(i) = *place else {
                let at = children[0].at;
                if self.begins_line(at) {
                    let at = self.flow_lead(at, open);
                    self.splice(at, at, format!("{indent}{item},{}", self.style.eol));
                } else {
                    self.splice(at, at, format!("{item}, "));
                }
                continue;
            };
            let first = n == 0 || changes.added[n - 1].0 != *place;
            let separator = if commas[i].is_none() && first { "," } else { "" };
            let end = ends[i];
            if self.ends_line(end) && lines::next(self.text, end) <= close {
                if !separator.is_empty() {
                    self.splice(end, end, separator);
                }
                let at = lines::next(self.text, end);
                self.splice(at, at, format!("{indent}{item}{comma}{}", self.style.eol));
            } else {
                self.splice(end, end, format!("{separator} {item}{comma}"));
            }
        }
        Ok(())
    }

    /// All members go; perhaps others come.
    fn renewed(&mut self, node: &Node<'_>, children: &[Child], ends: &[usize], changes: Changes, tall: bool) -> Step {
        let (open, close) = (node.at as usize + 1, node.end as usize - 1);
        let items: Vec<String> = changes.added.into_iter().map(|(_, item)| item).collect();
        let trivia = match (children.first(), ends.last()) {
            (Some(first), Some(end)) => {
                // Comments of the first member's own go with it.
                let own = self.begins_line(first.at) && items.is_empty();
                let lead = if own {
                    self.flow_lead(first.at, open).max(open)
                } else {
                    first.at
                };
                let last = children.last().is_some_and(|last| self.begins_line(last.at)) && self.ends_line(*end);
                let end = if last && items.is_empty() {
                    lines::next(self.text, *end).min(close)
                } else {
                    *end
                };
                [&self.text[open..lead], &self.text[end..close]]
            }
            _ => [&self.text[open..close], ""],
        };
        let commented = trivia.iter().any(|trivia| !trivia.trim().is_empty());
        let inner = self.flow_indent(node, children);
        let line = lines::at(self.text, lines::start(self.text, node.at as usize));
        let outer = lines::indent(line).to_owned();
        let eol = self.style.eol;
        if let (Some(first), false) = (children.first(), items.is_empty()) {
            // They come where the first one was.
            if self.begins_line(first.at) {
                self.splice(self.flow_lead(first.at, open), lines::start(self.text, first.at), "");
            }
            self.splice(first.at, first.end, items.join(", "));
            if children.len() > 1 && ends.last() == children.last().map(|last| &last.end) {
                self.splice(first.end, ends[0], "");
            }
            for i in 1..children.len() {
                self.remove(children, ends, i, open, close);
            }
        } else if items.is_empty() && !commented {
            self.splice(open, close, "");
        } else if items.is_empty() {
            for i in 0..children.len() {
                self.remove(children, ends, i, open, close);
            }
        } else if commented {
            // The comments stay, the members come before the closing bracket.
            let start = lines::start(self.text, close);
            if !self.begins_line(close) {
                return Err(Refusal::new("a comment stands where the members would", open));
            }
            self.splice(
                start,
                start,
                format!("{inner}{}{eol}", items.join(&format!(",{eol}{inner}"))),
            );
        } else if tall {
            let members = items.join(&format!(",{eol}{inner}"));
            self.splice(open, close, format!("{eol}{inner}{members}{eol}{outer}"));
        } else {
            let pad = if self.style.pad && self.text.as_bytes()[node.at as usize] == b'{' {
                " "
            } else {
                ""
            };
            self.splice(open, close, format!("{pad}{}{pad}", items.join(", ")));
        }
        Ok(())
    }

    /// Takes one member out, with its comma and the comments that are its own.
    fn remove(&mut self, children: &[Child], ends: &[usize], i: usize, open: usize, close: usize) {
        let (at, end) = (children[i].at, ends[i]);
        if self.begins_line(at) && self.ends_line(end) && lines::next(self.text, end) <= close {
            let before = i.checked_sub(1).map_or(open, |i| ends[i]);
            self.splice(self.flow_lead(at, before), lines::next(self.text, end), "");
            return;
        }
        if let Some(next) = children.get(i + 1)
            && self.text[end..next.at].trim_matches([' ', '\t']).is_empty()
        {
            self.splice(at, next.at, "");
            return;
        }
        // The last of its line: the blanks before it go along, but not the end of a line with a comment.
        let before = i.checked_sub(1).map_or(open, |i| ends[i]);
        let gap = &self.text[before..at];
        let start = if gap.trim().is_empty() && i > 0 {
            before
        } else {
            at - (gap.len() - gap.trim_end_matches([' ', '\t']).len())
        };
        let before_it = self
            .splices
            .last()
            .is_some_and(|splice| splice.end == at && splice.text.is_empty());
        let start = if i == 0 || before_it { at } else { start };
        self.splice(start, end, "");
    }

    /// The comma behind a member; `None`: the bracket follows.
    fn comma(&self, end: usize, close: usize) -> Step<Option<usize>> {
        let at = self.significant(end, close);
        match self.text.as_bytes()[at] {
            b',' => Ok(Some(at)),
            _ if at == close => Ok(None),
            _ => Err(Refusal::new("something follows the value", at)),
        }
    }

    /// The next byte that is neither blank nor comment.
    fn significant(&self, at: usize, close: usize) -> usize {
        let mut at = at;
        while at < close {
            let rest = &self.text[at..close];
            let blank = rest.len() - rest.trim_start().len();
            if blank > 0 {
                at += blank;
            } else if self.is_line_comment(rest) {
                at = lines::end(self.text, at).min(close);
            } else if let (Format::Json5, Some(inside)) = (self.style.format, rest.strip_prefix("/*")) {
                at += inside.find("*/").map_or(rest.len(), |n| n + 4);
            } else {
                break;
            }
        }
        at.min(close)
    }

    fn is_line_comment(&self, text: &str) -> bool {
        text.starts_with(if self.style.format == Format::Yaml { "#" } else { "//" })
    }

    fn begins_line(&self, at: usize) -> bool {
        is_blank(&self.text[lines::start(self.text, at)..at])
    }

    /// Whether nothing but a comment follows on the line.
    fn ends_line(&self, at: usize) -> bool {
        let end = lines::end(self.text, at);
        let rest = self.text[at..end].trim();
        let block = rest.starts_with("/*") && rest.ends_with("*/") && rest.matches("*/").count() == 1;
        end < self.text.len()
            && (rest.is_empty() || self.is_line_comment(rest) || (self.style.format == Format::Json5 && block))
    }

    /// Where the comment block directly above a member on its own line begins.
    fn flow_lead(&self, at: usize, bound: usize) -> usize {
        let mut start = lines::start(self.text, at);
        let indent = at - start;
        while let Some(above) = lines::previous(self.text, start).filter(|above| *above > bound) {
            let line = lines::at(self.text, above);
            let comment = line.trim();
            let block = self.style.format == Format::Json5 && comment.starts_with("/*") && comment.ends_with("*/");
            if lines::indent(line).len() != indent || !(self.is_line_comment(comment) || block) {
                break;
            }
            start = above;
        }
        start
    }
}
