//! An edit of a large document, made in what is left of it without most of the other webhooks, and put back.

use super::{Edit, Edited};
use crate::document::cut::{self, Difference, Rest};
use crate::document::{Desired, Source, text};

/// The edit; `None`: it cannot be made so.
///
/// What is left holds the webhook, its neighbours and the ends of both sides: all that an edit looks at. It is judged there
/// as always: the neighbours mean what they did, so the reader comes out of the edit as it came out of the old text, and
/// what was cut out means the same (docs/decisions/008-parse-again.md).
pub(super) fn short(desired: &Desired, source: &Source<'_>, edit: &Edit, fewest: usize) -> Option<Edited> {
    let reading = desired.reading.as_ref()?;
    let whole = text::decode(source.text).ok()?;
    if reading.length != whole.len() || reading.format != source.format || !cut::is_webhook(&edit.address) {
        return None;
    }
    let webhooks = cut::webhooks(desired);
    let mut keep = vec![false; webhooks.len()];
    cut::keep_ends(whole, &webhooks, &mut keep);
    if let Some(i) = webhooks.iter().position(|(address, _)| **address == edit.address) {
        keep[i.saturating_sub(1)..(i + 2).min(webhooks.len())].fill(true);
    }
    let runs = cut::runs(whole, source.format, &webhooks, &keep);
    if runs.iter().map(ExactSizeIterator::len).sum::<usize>() < fewest {
        return None;
    }
    let place = |i: usize| webhooks[i].1.place() as usize;
    let rest = Rest::of(whole, runs.iter().map(|run| place(run.start)..place(run.end)).collect())?;
    let rest_source = Source {
        text: rest.text.as_bytes(),
        ..*source
    };
    let edited = super::made(&rest_source, Some(whole), edit).ok()?;
    let difference = Difference::between(rest.text.as_bytes(), edited.text.as_bytes());
    if rest.is_cut_in(&difference.old) {
        return None;
    }
    let to_whole = |at: usize| Some(rest.to_whole(u32::try_from(at).ok()?) as usize);
    let mark = source.text.len() - whole.len();
    let (head, tail) = (
        mark + to_whole(difference.old.start)?,
        mark + to_whole(difference.old.end)?,
    );
    let text = [
        &source.text[..head],
        &edited.text.as_bytes()[difference.new],
        &source.text[tail..],
    ];
    Some(Edited {
        text: String::from_utf8(text.concat()).ok()?,
        changed: edited.changed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::again::tests::documents::Draft;
    use crate::document::edit::properties::documents::Random;
    use crate::document::edit::{Change, apply};
    use crate::document::{Address, Format, Value, load};
    use crate::event::Name;

    fn source(text: &str, format: Format) -> Source<'_> {
        Source {
            path: "d",
            format,
            text: text.as_bytes(),
        }
    }

    fn random_edit(random: &mut Random, draft: &Draft) -> Edit {
        let [inbound, outbound] = draft.names();
        let is_outbound = random.one_in(2);
        let names = if is_outbound { outbound } else { inbound };
        let new = names.is_empty() || random.one_in(3);
        let name = if new {
            "new".to_owned()
        } else {
            names[random.below(names.len())].clone()
        };
        let name = Name::parse(&name).unwrap();
        let value = match random.below(5) {
            0 => None,
            1 => Some(Value::text("it's \"new\"")),
            2 => Some(Value::List([Value::text("message.sent"), Value::text("error")].into())),
            3 => Some(Value::Map([("env".into(), Value::text("A"))].into())),
            _ => Some(Value::Integer(9)),
        };
        let field = random.pick(&["url", "description", "events", "secret", "retries", "platform", "path"]);
        Edit {
            address: if is_outbound {
                Address::Outbound(name)
            } else {
                Address::Inbound(name)
            },
            change: if !new && random.one_in(3) {
                Change::Delete
            } else {
                Change::Fields(vec![(vec![field.to_owned()], value)])
            },
        }
    }

    #[test]
    fn an_edit_of_the_rest_is_the_edit_of_the_whole() {
        let (mut short_ones, mut all) = (0, 0);
        for format in [Format::Yaml, Format::Json5] {
            for seed in 0..1500 {
                let mut random = Random::new(seed ^ 0xed17);
                let draft = Draft::random(&mut random, format);
                let mark = random.pick(&["", "", "\u{feff}"]);
                let text = format!("{mark}{}", draft.text());
                let source = source(&text, format);
                let Some(desired) = load(&source).desired else { continue };
                let edit = random_edit(&mut random, &draft);
                all += 1;
                if let Some(edited) = short(&desired, &source, &edit, 1) {
                    short_ones += 1;
                    assert_eq!(Ok(edited), apply(&source, &edit), "seed {seed}: {edit:?}\n{text}");
                }
            }
        }
        assert!(
            short_ones * 4 > all,
            "{short_ones} of {all} the short way: the cases test little"
        );
    }

    #[test]
    fn a_large_document_is_edited_the_short_way() {
        let entry = |i| format!("    s-{i}:\n      url: https://a.example/{i}\n");
        let text = format!("webhooks:\n  outbound:\n{}", (0..200).map(entry).collect::<String>());
        let source = source(&text, Format::Yaml);
        let desired = load(&source).desired.unwrap();
        let url = Change::Fields(vec![(vec!["url".to_owned()], Some(Value::text("https://b.example")))]);
        for (name, change) in [
            ("s-100", url.clone()),
            ("new", url),
            ("s-0", Change::Delete),
            ("s-199", Change::Delete),
        ] {
            let edit = Edit {
                address: Address::Outbound(Name::parse(name).unwrap()),
                change,
            };
            let edited = short(&desired, &source, &edit, cut::FEWEST);
            assert_eq!(edited.ok_or(()), apply(&source, &edit).map_err(drop), "{name}");
        }
    }
}
