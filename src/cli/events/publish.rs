//! `openclaw events publish`

use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::cli::source::Source;
use crate::cli::{Context, Done, Error};
use crate::document::diagnostic::nearest;
use crate::event::{EventName, KNOWN_EVENTS};

const PATIENCE: Duration = Duration::from_secs(30);

/// Publish an event
///
/// It is stored, and every sender that subscribes to it gets it. Answers once it is durable.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw events publish message.sent --data '{\"channel\":\"telegram-main\",\"message\":\"hi\"}'
  openclaw events publish order.paid --data @order.json --id order-17")]
pub(crate) struct Arguments {
    /// The event's name, such as message.sent
    #[arg(value_name = "TYPE")]
    event: String,
    /// Its data: a JSON object, or @FILE
    #[arg(long, value_name = "JSON", default_value = "{}")]
    data: String,
    /// Its own key: a second one with the same key is a repeat and makes nothing
    #[arg(long, value_name = "KEY")]
    id: Option<String>,
}

#[derive(Serialize)]
struct Publish<'a> {
    event: &'a str,
    data: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct Published {
    events: Vec<PublishedEvent>,
}

#[derive(Serialize, Deserialize)]
struct PublishedEvent {
    id: String,
    duplicate: bool,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let name = &arguments.event;
    let near = nearest(name, KNOWN_EVENTS);
    if EventName::parse(name).is_none() {
        let error = Error::new(format!("`{name}` is no event name: lower-case words joined by dots"));
        return Err(match near {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("the gateway's own names: {}", KNOWN_EVENTS[..9].join(", "))),
        });
    }
    if let Some(near) = near.filter(|near| near != name && name != "error") {
        context
            .terminal
            .note(&format!("`{name}` is an event of your own: did you mean `{near}`?"));
    }
    let text = match arguments.data.strip_prefix('@') {
        Some(file) => {
            let path = context.surroundings.directory.join(file);
            std::fs::read_to_string(&path).map_err(|error| Error::file("read", &path, &error))?
        }
        None => arguments.data.clone(),
    };
    let data: &RawValue =
        serde_json::from_str(&text).map_err(|error| Error::new(format!("--data is no JSON: {error}")))?;
    let event = Publish {
        event: name,
        data,
        id: arguments.id.as_deref(),
    };
    let (_, client) = Source::of_gateway(context)?;
    let published: Published = client.post("/v1/events", &event, PATIENCE).await?;
    if context.terminal.json {
        context.terminal.answer_json(&published)?;
        return Ok(Done::Well);
    }
    for event in published.events {
        let repeat = if event.duplicate {
            " (a repeat: it was there already)"
        } else {
            ""
        };
        context.terminal.answer(format!("Published {}{repeat}\n", event.id))?;
    }
    Ok(Done::Well)
}
