//! Block style: members on lines of their own.

use super::lines;
use super::walk::{Changes, Child, Members, Refusal, Spot, Step, Walk, is_alias, is_block};
use crate::document::text::{Data, Node};

impl<'t> Walk<'t> {
    /// The indentation of a member, which must be the first thing on its line.
    pub(super) fn indent_of(&self, at: usize) -> Step<&'t str> {
        let indent = &self.text[lines::start(self.text, at)..at];
        if indent.trim_matches([' ', '\t']).is_empty() {
            Ok(indent)
        } else {
            Err(Refusal::new("the key does not begin its line", at))
        }
    }

    pub(super) fn block_children(&self, map: &Members<'_>) -> Vec<Child> {
        let own = map.own.iter().map(|entry| {
            let at = entry.at as usize;
            let end = self.end_of(
                self.behind(entry.end as usize),
                &entry.value,
                at - lines::start(self.text, at),
            );
            Child { at, end }
        });
        let merges = map.merges.iter().map(|merge| Child {
            at: merge.start as usize,
            end: merge.end as usize,
        });
        let mut children: Vec<_> = own.chain(merges).collect();
        children.sort_by_key(|child| child.at);
        children
    }

    /// Removes and adds members of a block container.
    pub(super) fn block(&mut self, children: &[Child], changes: Changes, spot: Option<Spot>, empty: &str) -> Step {
        let text = self.text;
        let gone = changes.removed.iter().filter(|gone| **gone).count();
        for (i, child) in children.iter().enumerate().filter(|(i, _)| changes.removed[*i]) {
            let indent = self.indent_of(child.at)?.len();
            let mut end = self.extent_end(child)?;
            let bound = match (i.checked_sub(1), spot) {
                (Some(before), _) => self.extent_end(&children[before])?,
                (None, Some(spot)) => lines::next(text, spot.after),
                (None, None) => 0,
            };
            let mut start = self.lead_start(child.at, indent, bound);
            if self.manner.tidy && gone == 1 && changes.added.is_empty() {
                let above = lines::previous(text, start).filter(|above| *above >= bound);
                let open = i == 0 || above.is_some_and(|above| is_blank(lines::at(text, above)));
                if open && end < text.len() && is_blank(lines::at(text, end)) {
                    end = lines::next(text, end);
                } else if open && end == text.len() && i > 0 {
                    start = above.unwrap_or(start);
                }
            }
            self.splice(start, end, "");
        }
        if gone == children.len() && changes.added.is_empty() {
            let spot = spot.ok_or_else(|| Refusal::new("nothing would be left", 0))?;
            self.splice(spot.after, spot.after, format!(" {empty}"));
        }
        let mut after = Vec::new();
        for (behind, lines) in changes.added {
            let at = if let Some(i) = behind {
                self.extent_end(&children[i])?
            } else {
                let indent = self.indent_of(children[0].at)?.len();
                let bound = spot.map_or(0, |spot| lines::next(text, spot.after));
                self.lead_start(children[0].at, indent, bound)
            };
            match after.last_mut() {
                Some((last, all)) if *last == at => String::push_str(all, &lines),
                _ => after.push((at, lines)),
            }
        }
        for (at, lines) in after {
            self.insert_lines(at, lines);
        }
        Ok(())
    }

    /// Inserts whole lines; behind a last line without an end the new ones get along without one too.
    pub(super) fn insert_lines(&mut self, at: usize, mut lines: String) {
        let eol = self.style.eol;
        if at == self.text.len() && !self.text.ends_with(['\n', '\r']) {
            lines.truncate(lines.len() - eol.len());
            lines.insert_str(0, eol);
        }
        self.splice(at, at, lines);
    }

    /// Where the lines of a member end, comments of its own that are indented deeper included.
    pub(super) fn extent_end(&self, child: &Child) -> Step<usize> {
        let rest = &self.text[child.end..lines::end(self.text, child.end)];
        let blank = rest.trim_start_matches([' ', '\t']);
        if !(blank.is_empty() || (blank.starts_with('#') && (blank.len() < rest.len() || rest.is_empty()))) {
            return Err(Refusal::new("something follows the value on its line", child.end));
        }
        let indent = child.at - lines::start(self.text, child.at);
        let mut end = lines::next(self.text, child.end);
        let mut line = end;
        while line < self.text.len() {
            let text = lines::at(self.text, line);
            let deeper = lines::indent(text).len() > indent && text.trim_start().starts_with('#');
            if !deeper && !is_blank(text) {
                break;
            }
            line = lines::next(self.text, line);
            if deeper {
                end = line;
            }
        }
        Ok(end)
    }

    /// Where the comment block directly above a member begins.
    pub(super) fn lead_start(&self, at: usize, indent: usize, bound: usize) -> usize {
        let mut start = lines::start(self.text, at);
        while let Some(above) = lines::previous(self.text, start).filter(|above| *above >= bound) {
            let line = lines::at(self.text, above);
            if lines::indent(line).len() != indent || !line.trim_start().starts_with('#') {
                break;
            }
            start = above;
        }
        start
    }

    /// Behind the colon that follows a key, and behind the value's anchor and tag.
    pub(super) fn after_colon(&self, key_end: usize) -> Option<usize> {
        let colon = key_end + lines::indent(&self.text[key_end..]).len();
        if self.text.as_bytes().get(colon) != Some(&b':') {
            return None;
        }
        Some(self.after_properties(colon + 1))
    }

    /// The same, or the key's end where no colon follows.
    pub(super) fn behind(&self, key_end: usize) -> usize {
        self.after_colon(key_end).unwrap_or(key_end)
    }

    /// Behind an anchor and a tag.
    pub(super) fn after_properties(&self, at: usize) -> usize {
        let mut after = at;
        loop {
            let token = after + lines::indent(&self.text[after..]).len();
            if !self.text[token..].starts_with(['&', '!']) {
                return after;
            }
            let rest = &self.text[token..];
            after = token + rest.find([' ', '\t', '\r', '\n', ',', '}', ']']).unwrap_or(rest.len());
        }
    }

    /// The indicator of a block scalar that begins behind a colon or a dash.
    pub(super) fn block_scalar(&self, behind: usize) -> Option<usize> {
        let at = behind + lines::indent(&self.text[behind..]).len();
        self.text[at..].starts_with(['|', '>']).then_some(at)
    }

    /// Where a value ends whose key (or dash) stands at `column`; `behind` its colon (or the dash) it begins.
    pub(super) fn end_of(&self, behind: usize, value: &Node<'_>, column: usize) -> usize {
        if is_alias(self.text, value) {
            return value.end as usize;
        }
        let node = value.target();
        let (at, end) = (node.at as usize, node.end as usize);
        if is_block(self.text, node) {
            if let Some(map) = Members::of(node) {
                let own = map.own.last().map_or(0, |entry| {
                    let at = entry.at as usize;
                    self.end_of(
                        self.behind(entry.end as usize),
                        &entry.value,
                        at - lines::start(self.text, at),
                    )
                });
                return map.merges.last().map_or(own, |merge| own.max(merge.end as usize));
            }
            if let Data::List(items) = &node.data
                && let Some(item) = items.last()
            {
                let line = lines::start(self.text, item.at as usize);
                let dash = lines::indent(&self.text[line..]).len();
                return self.end_of(self.after_properties(dash + 1), item, dash);
            }
        }
        let written = &self.text[at..end];
        if matches!(node.data, Data::Null) && written.trim().is_empty() {
            return behind;
        }
        // The reader's span of a block scalar is that of its content.
        self.block_scalar(behind)
            .map_or(end, |header| self.block_scalar_end(header, column))
    }

    /// Whether the last value is a block scalar that keeps its line end.
    pub(super) fn ends_in_block_scalar(&self, root: &Node<'_>) -> bool {
        let (mut node, mut behind) = (root, 0);
        while !is_alias(self.text, node) && is_block(self.text, node.target()) {
            let target = node.target();
            if let Some(entry) = Members::of(target).and_then(|map| map.own.last()) {
                (node, behind) = (&entry.value, self.behind(entry.end as usize));
            } else if let Data::List(items) = &target.data
                && let Some(item) = items.last()
            {
                let line = lines::start(self.text, item.at as usize);
                let dash = line + lines::indent(&self.text[line..]).len();
                (node, behind) = (item, self.after_properties(dash + 1));
            } else {
                return false;
            }
        }
        let header = self.block_scalar(behind).map(|at| lines::at(self.text, at));
        header.is_some_and(|header| !header.split([' ', '#']).next().unwrap_or_default().contains('-'))
    }

    /// Where a block scalar's content ends, its last line end not counted.
    pub(super) fn block_scalar_end(&self, header: usize, column: usize) -> usize {
        let text = self.text;
        let head = lines::at(text, header);
        let indicator = head.split([' ', '\t']).next().unwrap_or_default();
        let keep = indicator.contains('+');
        let mut indent = indicator
            .chars()
            .find_map(|c| c.to_digit(10))
            .map(|digit| column + digit as usize);
        let mut end = lines::end(text, header);
        let mut line = lines::next(text, header);
        while line < text.len() {
            let content = lines::at(text, line);
            let deep = content.len() - content.trim_start_matches(' ').len();
            if is_blank(content) {
                if keep {
                    end = line + content.len();
                }
            } else if deep > column && deep >= *indent.get_or_insert(deep) {
                end = line + content.len();
            } else {
                break;
            }
            line = lines::next(text, line);
        }
        end
    }
}

pub(super) fn is_blank(line: &str) -> bool {
    line.trim_matches([' ', '\t']).is_empty()
}
