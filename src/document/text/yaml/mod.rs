//! YAML 1.2 on the events of saphyr-parser: docs/decisions/001-yaml-reader.md.

mod brackets; // closing brackets where the key stands
mod faults; // what is wrong with the text itself
mod places;
mod scalar;

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use faults::too_deep;
use places::Places;
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use scalar::{Plain, plain};

use super::node::{Data, Entry, Merged, Node, Str, offset};
use super::{Code, Fault, Lines, Located, MAX_DEPTH, MAX_REPLAYED_BYTES, Tree};

pub(super) fn read(text: &str) -> Tree<'_> {
    let reading = read_shown(text, text, Vec::new());
    if reading.stuck_at_bracket
        && let Some(tree) = brackets::read(text)
    {
        return tree;
    }
    reading.tree
}

/// What came of a reading.
struct Reading<'a> {
    tree: Tree<'a>,
    /// The parser wants a closing bracket deeper.
    stuck_at_bracket: bool,
    /// The lines of block scalars, from 0; only where lines are padded.
    block_scalars: Vec<Range<usize>>,
}

/// Reads `text`. The parser is shown the same text with a blank before each of the `padded` lines.
fn read_shown<'a>(text: &'a str, shown: &str, padded: Vec<usize>) -> Reading<'a> {
    let mut builder = Builder {
        text,
        places: Places::new(text, padded),
        frames: Vec::new(),
        anchors: HashMap::new(),
        open_anchors: Vec::new(),
        replayed: 0,
        root: None,
        documents: 0,
        faults: Vec::new(),
        tags: Vec::new(),
        plain: true,
        block_scalars: Vec::new(),
    };
    let mut parser = Parser::new_from_str(shown);
    let mut stuck_at_bracket = false;
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                let located = builder.syntax(&error);
                let written = &text[located.span.start as usize..];
                stuck_at_bracket = error.info() == "invalid indentation" && written.starts_with([']', '}']);
                Err(located)
            }
        };
        if let Err(located) = step {
            builder.root = None;
            builder.faults.push(located);
            break;
        }
    }
    if builder.faults.is_empty() && builder.root.as_ref().is_none_or(|root| matches!(root.data, Data::Null)) {
        let fault = Fault::new(Code::DocumentCount, "the document is empty").hint("write `webhooks: {}` for none");
        builder.faults.push(Located::new(fault, 0..0));
        builder.root = None;
    }
    Reading {
        tree: Tree {
            root: builder.root,
            faults: builder.faults,
            tags: builder.tags,
            plain: builder.plain && builder.anchors.is_empty(),
        },
        stuck_at_bracket,
        block_scalars: builder.block_scalars,
    }
}

/// A container that is being read.
struct Frame<'a> {
    at: u32,
    anchor: usize,
    inside: Inside<'a>,
    /// The deepest node inside, counted from this container.
    depth: usize,
    /// What an alias to this container would repeat.
    weight: usize,
}

enum Inside<'a> {
    List(Vec<Node<'a>>),
    Map {
        entries: Vec<Entry<'a>>,
        others: Vec<Rc<Node<'a>>>,
        /// Each `<<` with its value.
        merges: Vec<Range<u32>>,
        key: Option<Key<'a>>,
    },
}

struct Key<'a> {
    text: Str<'a>,
    span: Range<u32>,
    merge: bool,
}

struct Anchored<'a> {
    node: Rc<Node<'a>>,
    depth: usize,
    weight: usize,
}

struct Builder<'a> {
    text: &'a str,
    places: Places<'a>,
    frames: Vec<Frame<'a>>,
    anchors: HashMap<usize, Anchored<'a>>,
    open_anchors: Vec<usize>,
    replayed: usize,
    root: Option<Node<'a>>,
    documents: usize,
    faults: Vec<Located>,
    tags: Vec<(Range<u32>, String)>,
    plain: bool,
    block_scalars: Vec<Range<usize>>,
}

type Step = Result<(), Located>;

impl<'a> Builder<'a> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Step {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let fault = Fault::new(Code::DocumentCount, "a second document begins here")
                        .hint("a file holds exactly one document: remove the `---`");
                    return Err(Located::new(fault, self.places.span(span)));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.plain &= tag.is_none() && text != "<<";
                if self.places.is_padded() && matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
                    // Markers count lines from 1.
                    self.block_scalars.push(span.start.line() - 1..span.end.line());
                }
                let range = self.places.scalar(span, style, anchor > 0 || tag.is_some());
                if anchor == 0 && tag.is_none() && self.wants_key() {
                    let merge = style == ScalarStyle::Plain && text == "<<";
                    let text = self.string(&text, &range, style);
                    self.key(text, range, merge);
                    return Ok(());
                }
                let data = self.scalar(&text, style, tag.as_deref(), &range);
                let node = Node {
                    at: range.start,
                    end: range.end,
                    data,
                };
                self.put(node, anchor, 1)
            }
            Event::SequenceStart(anchor, tag) => self.open(anchor, tag.as_deref(), span, Inside::List(Vec::new())),
            Event::MappingStart(anchor, tag) => self.open(
                anchor,
                tag.as_deref(),
                span,
                Inside::Map {
                    entries: Vec::new(),
                    others: Vec::new(),
                    merges: Vec::new(),
                    key: None,
                },
            ),
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::DocumentEnd | Event::StreamStart | Event::StreamEnd | Event::Nothing => Ok(()),
        }
    }

    fn wants_key(&self) -> bool {
        matches!(
            self.frames.last(),
            Some(Frame {
                inside: Inside::Map { key: None, .. },
                ..
            })
        )
    }

    fn key(&mut self, text: Str<'a>, span: Range<u32>, merge: bool) {
        if let Some(Frame {
            inside: Inside::Map { key, .. },
            ..
        }) = self.frames.last_mut()
        {
            *key = Some(Key { text, span, merge });
        }
    }

    fn open(&mut self, anchor: usize, tag: Option<&Tag>, span: Span, inside: Inside<'a>) -> Step {
        self.plain &= tag.is_none();
        let mut range = self.places.span(span);
        if anchor > 0 || tag.is_some() {
            range = self.places.after_properties(range);
        }
        if self.wants_key() {
            let fault = Fault::new(Code::Syntax, "a key must be a text, not a list or a mapping")
                .hint("put quotes around it if `{`, `[` or `?` is meant to be text");
            return Err(Located::new(fault, range));
        }
        if self.frames.len() >= MAX_DEPTH {
            return Err(too_deep(range));
        }
        if let Some(tag) = tag {
            let fits = tag.is_yaml_core_schema()
                && tag.suffix
                    == if matches!(inside, Inside::List(_)) {
                        "seq"
                    } else {
                        "map"
                    };
            if !fits {
                self.tags.push((self.before(&range), tag.to_string()));
            }
        }
        if anchor > 0 {
            self.open_anchors.push(anchor);
        }
        self.frames.push(Frame {
            at: range.start,
            anchor,
            inside,
            depth: 1,
            weight: 48,
        });
        Ok(())
    }

    fn close(&mut self, span: Span) -> Step {
        let bracket = self.places.byte(span.start);
        let frame = self.frames.pop().expect("the parser balances its events");
        let mut last = frame.at;
        let data = match frame.inside {
            Inside::List(items) => {
                last = items.last().map_or(last, |node| node.end);
                Data::List(items.into())
            }
            Inside::Map {
                entries,
                others,
                merges,
                ..
            } => {
                last = entries.last().map_or(last, |entry| entry.value.end);
                last = merges.last().map_or(last, |merge| merge.end.max(last));
                super::duplicates(&entries, self.text, &mut self.faults);
                if merges.is_empty() {
                    Data::Map(entries.into())
                } else {
                    Data::Merged(Box::new(Merged {
                        own: entries.into(),
                        others,
                        merges: merges.into(),
                    }))
                }
            }
        };
        if frame.anchor > 0 {
            self.open_anchors.pop();
        }
        // The end of a block container is reported where the next token begins.
        let end = if matches!(self.text.as_bytes().get(frame.at as usize), Some(b'{' | b'[')) {
            self.bracket(bracket) + 1
        } else {
            last
        };
        let node = Node {
            at: frame.at,
            end: end.clamp(frame.at, offset(self.text.len())),
            data,
        };
        self.put_counted(node, frame.anchor, frame.depth, frame.weight)
    }

    /// The closing bracket: after a trailing comma the parser reports the comma.
    fn bracket(&self, reported: u32) -> u32 {
        let bytes = self.text.as_bytes();
        let mut at = reported as usize;
        let mut comment = false;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'}' | b']' if !comment => return offset(at),
                b'#' => comment = true,
                b'\n' | b'\r' => comment = false,
                _ => {}
            }
            at += 1;
        }
        reported
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Step {
        let range = self.places.span(span);
        let Some(anchored) = self.anchors.get(&anchor) else {
            let fault = if self.open_anchors.contains(&anchor) {
                Fault::new(Code::Limit, "the alias stands inside of what it stands for")
            } else {
                Fault::new(Code::Syntax, "the alias has no anchor")
            };
            return Err(Located::new(fault, range));
        };
        let (node, depth, weight) = (Rc::clone(&anchored.node), anchored.depth, anchored.weight);
        if self.frames.len() + depth > MAX_DEPTH {
            return Err(too_deep(range));
        }
        self.replayed += weight;
        if self.replayed > MAX_REPLAYED_BYTES {
            let fault = Fault::new(
                Code::Limit,
                format!(
                    "aliases repeat more than {} MiB of content",
                    MAX_REPLAYED_BYTES / 1024 / 1024
                ),
            )
            .hint("write the repeated parts out, or repeat less");
            return Err(Located::new(fault, range));
        }
        if self.wants_key() {
            return match &node.target().data {
                Data::Text(text) => {
                    let text = text.clone();
                    self.key(text, range, false);
                    Ok(())
                }
                _ => Err(Located::new(Fault::new(Code::Syntax, "a key must be a text"), range)),
            };
        }
        let shared = Node {
            at: range.start,
            end: range.end,
            data: Data::Shared(node),
        };
        self.put_counted(shared, 0, depth, weight)
    }

    fn put(&mut self, node: Node<'a>, anchor: usize, depth: usize) -> Step {
        let weight = 48
            + match &node.data {
                Data::Text(text) | Data::Number(text) => text.len(),
                _ => 0,
            };
        self.put_counted(node, anchor, depth, weight)
    }

    /// Puts a finished node into the container around it.
    fn put_counted(&mut self, mut node: Node<'a>, anchor: usize, depth: usize, weight: usize) -> Step {
        if anchor > 0 {
            let (at, end) = (node.at, node.end);
            let shared = Rc::new(node);
            let anchored = Anchored {
                node: Rc::clone(&shared),
                depth,
                weight,
            };
            self.anchors.insert(anchor, anchored);
            node = Node {
                at,
                end,
                data: Data::Shared(shared),
            };
        }
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.depth = frame.depth.max(depth + 1);
        frame.weight += weight;
        match &mut frame.inside {
            Inside::List(items) => items.push(node),
            Inside::Map {
                entries,
                others,
                merges,
                key,
            } => match key.take() {
                Some(key) if key.merge => {
                    merges.push(key.span.start..node.end);
                    return merge(others, node);
                }
                Some(key) => {
                    frame.weight += key.text.len();
                    entries.push(Entry {
                        key: key.text,
                        at: key.span.start,
                        end: key.span.end,
                        value: node,
                    });
                }
                // A key with an anchor or a tag.
                None => {
                    let span = node.span();
                    let text = match &node.target().data {
                        Data::Text(text) => text.clone(),
                        _ => Str::Owned(self.text[span.start as usize..span.end as usize].into()),
                    };
                    *key = Some(Key {
                        text,
                        span,
                        merge: false,
                    });
                }
            },
        }
        Ok(())
    }

    fn string(&self, text: &str, range: &Range<u32>, style: ScalarStyle) -> Str<'a> {
        let written = &self.text[range.start as usize..range.end as usize];
        let written = match style {
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                written.get(1..written.len().saturating_sub(1)).unwrap_or_default()
            }
            _ => written,
        };
        if written == text {
            Str::Borrowed(written)
        } else {
            Str::Owned(text.into())
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, range: &Range<u32>) -> Data<'a> {
        let core = tag.map(|tag| (tag.is_yaml_core_schema(), tag.suffix.as_str()));
        match core {
            None if style == ScalarStyle::Plain => {}
            None | Some((true, "str")) => return Data::Text(self.string(text, range, style)),
            Some((true, "int" | "bool" | "float" | "null")) => {}
            Some(_) => {
                self.tags
                    .push((self.before(range), tag.map(Tag::to_string).unwrap_or_default()));
                return Data::Text(self.string(text, range, style));
            }
        }
        match plain(text) {
            Plain::Null => Data::Null,
            Plain::Bool(b) => Data::Bool(b),
            Plain::Integer(n) => Data::Integer(n),
            Plain::Number => Data::Number(self.string(text, range, style)),
            Plain::Text => Data::Text(self.string(text, range, style)),
        }
    }

    /// Where the properties of a node begin: what stands before it on its line, back to the blank before the tag.
    fn before(&self, range: &Range<u32>) -> Range<u32> {
        let head = self.text[..range.start as usize].trim_end();
        let tag = head.rfind('!').map_or(range.start as usize, |last| {
            head[..last]
                .rfind([' ', '\n', '\t', '[', '{', ','])
                .map_or(0, |blank| blank + 1)
        });
        offset(tag)..range.end
    }
}

/// `<<: *a`, `<<: [*a, *b]`, `<<: {…}`.
fn merge<'a>(others: &mut Vec<Rc<Node<'a>>>, node: Node<'a>) -> Step {
    let span = node.span();
    let wrong = || {
        let fault = Fault::new(Code::WrongType, "`<<` takes a mapping, or a list of mappings");
        Err(Located::new(fault, span.clone()))
    };
    let is_map = |node: &Node<'_>| matches!(node.target().data, Data::Map(_) | Data::Merged(_));
    match node.data {
        Data::Shared(shared) if is_map(&shared) => others.push(shared),
        Data::Map(_) | Data::Merged(_) => others.push(Rc::new(node)),
        Data::List(items) => {
            for item in items {
                match item.data {
                    Data::Shared(shared) if is_map(&shared) => others.push(shared),
                    Data::Map(_) | Data::Merged(_) => others.push(Rc::new(item)),
                    _ => return wrong(),
                }
            }
        }
        _ => return wrong(),
    }
    Ok(())
}
