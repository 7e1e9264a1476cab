use std::time::Instant;

use super::*;

const DATA: &str = r#"{"channel":"telegram-main","user":"42","message":"hi <b>&\"ü\"","chatId":"-100","n":9007199254740993,"big":123456789012345678901234567890,"price":1.10,"none":null,"yes":true,"body":{"z":1.10,"a":[1,2,{"k":"v"}],"deep":{"x":{"y":"end"}}},"list":["b","a","c"]}"#;

fn seen(data: &str) -> Seen<'_> {
    Seen {
        event: "message.received",
        id: "evt_1",
        timestamp: "2026-03-15T10:30:00Z",
        source: Some("telegram"),
        data,
    }
}

#[track_caller]
fn render(text: &str) -> Result<String, Error> {
    Template::parse(text).unwrap().render(&seen(DATA))
}

#[track_caller]
fn passes(text: &str) -> bool {
    Filter::parse(text).unwrap().passes(&seen(DATA)).unwrap()
}

#[test]
fn an_expression_sees_the_event_and_nothing_else() {
    assert_eq!(
        render("{{event}} {{id}} {{timestamp}} {{source}} {{data.user}}").unwrap(),
        "message.received evt_1 2026-03-15T10:30:00Z telegram 42"
    );
    for (text, name, at) in [
        ("{{ dta.user }}", "dta", 3..6),
        ("{{ data.dta }}{{ dta }}", "dta", 17..20),
        ("{{ env.HOME }}", "env", 3..6),
        ("{{ debug() }}", "debug", 3..8),
        ("{{ now() }}", "now", 3..6),
    ] {
        let error = Template::parse(text).unwrap_err();
        assert_eq!((error.unknown_name(), error.at()), (Some(name), Some(at)), "{text}");
    }
    for text in [
        "{% include 'x' %}",
        "{% extends 'x' %}",
        "{% import 'x' as x %}",
        "{% macro m() %}{{ m() }}{% endmacro %}",
    ] {
        assert!(matches!(Template::parse(text), Err(Error::Syntax { .. })), "{text}");
    }
}

#[test]
fn errors_in_the_text_say_where() {
    for (text, at) in [
        ("{{ data.user", 12),
        ("ü {{ data.user | nosuch }}", 18),
        ("{% if %}", 6),
        ("{{ data.user is nosuch }}", 16),
    ] {
        let error = Template::parse(text).unwrap_err();
        let found = error.at().unwrap_or_default();
        assert!(found.start <= at && at <= found.end + 1, "{text}: {error:?}");
    }
    let error = Filter::parse("data.user ==").unwrap_err();
    assert!(error.at().is_some_and(|at| at.start >= 10), "{error:?}");
    assert!(Filter::parse("").is_err() && Filter::parse("data.user = 1").is_err());
    assert_eq!(Template::parse("").unwrap().render(&seen(DATA)).unwrap(), "");
}

#[test]
fn the_members_that_it_looks_at_are_known() {
    let members = |found: std::collections::BTreeSet<String>| found.into_iter().collect::<Vec<_>>().join(" ");
    let filter = Filter::parse("data.usr == 1 and 'data.x' in data.body.deep.x and data['n'] > 1").unwrap();
    assert_eq!(members(filter.members()), "body usr");
    let template = Template::parse("{{data.a.b}}{% if data.c %}{{event}}{% endif %}").unwrap();
    assert_eq!(members(template.members()), "a c");
}

#[test]
fn values_print_as_they_came() {
    assert_eq!(
        render("{{data.n}} {{data.big}}").unwrap(),
        "9007199254740993 123456789012345678901234567890"
    );
    assert_eq!(
        render("{{data.message}}").unwrap(),
        "hi <b>&\"ü\"",
        "nothing is escaped"
    );
    assert_eq!(render("{{data.yes}} {{data.none}}").unwrap(), "true null");
    assert_eq!(
        render("{{data|tojson}}").unwrap(),
        DATA,
        "to the byte: order and digits"
    );
    assert_eq!(
        render("{{data.body}}").unwrap(),
        r#"{"z":1.10,"a":[1,2,{"k":"v"}],"deep":{"x":{"y":"end"}}}"#
    );
    assert_eq!(
        render(r#"{"text":{{data.message|tojson}},"n":{{data.n|tojson}}}"#).unwrap(),
        r#"{"text":"hi <b>&\"ü\"","n":9007199254740993}"#
    );
    assert_eq!(
        render("{{ {'a': data.body.a, 'b': none}|tojson }}").unwrap(),
        r#"{"a":[1,2,{"k":"v"}],"b":null}"#
    );
    assert_eq!(render("{{data.body.a[2].k}} {{data.body['a'][0] + 1}}").unwrap(), "v 2");
    assert_eq!(render("{% for x in data.list|sort %}{{x}}{% endfor %}").unwrap(), "abc");
    assert_eq!(
        render("{% for k in data.body %}{{k}} {% endfor %}").unwrap(),
        "z a deep "
    );
    assert_eq!(
        render("{{data.list|join(', ')}} {{data.list|length}}").unwrap(),
        "b, a, c 3"
    );
}

#[test]
fn a_template_is_strict_and_or_works() {
    assert_eq!(render("{{data.userName or data.user}}").unwrap(), "42");
    assert_eq!(render("{% if data.userName %}x{% else %}y{% endif %}").unwrap(), "y");
    assert_eq!(render("{{data.userName|default('nobody')}}").unwrap(), "nobody");
    for slip in [
        "{{data.usr}}",
        "{{data.usr|upper}}",
        "{{data.usr.name}}",
        "{% for x in data.usr %}{% endfor %}",
        "{{data.usr|tojson}}",
        "{{data.usr ~ 'x'}}",
    ] {
        let error = render(slip).unwrap_err();
        assert!(matches!(&error, Error::Failed { .. }), "{slip}: {error}");
    }
    let error = render("a\n{{data.usr}}").unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("usr"), "{error}");
}

#[test]
fn a_filter_is_lenient_with_what_is_missing() {
    for yes in [
        "data.user == '42'",
        "data.n == 9007199254740993",
        "data.n > 9007199254740992",
        "'hi' in data.message",
        "data.message is startingwith('hi')",
        "event == 'message.received' and source == 'telegram'",
        "data.user in ['41', '42']",
        "not data.nothing.at.all",
        "data.body.deep.x.y == 'end'",
        "data.price > 1 and data.price < 1.2",
        "2 in data.body.a",
        "data.list == data.list",
        "data.message|lower|length > 3",
    ] {
        assert!(passes(yes), "{yes}");
    }
    for no in [
        "data.body.pull_request.merged == true",
        "data.usr == '42'",
        "data.usr",
        "'x' in data.usr",
        "none",
        "0",
        "''",
        "[]",
        "{}",
        "data.none",
        "false",
    ] {
        assert!(!passes(no), "{no}");
    }
    assert!(matches!(
        Filter::parse("data.user + 1 > 2").unwrap().passes(&seen(DATA)),
        Err(Error::Failed { .. })
    ));
}

#[test]
fn an_error_shows_no_value_of_the_event() {
    let data = r#"{"a":"hunter2","b":{"c":"hunter2"}}"#;
    for text in [
        "{{data.a - 1}}",
        "{{data.a * data.b}}",
        "{{ -data.a }}",
        "{{data.b()}}",
        "{{data.a|int}}",
        "{{data.a|nosuch}}",
        "{{data.b.c.d.e}}",
        "{{ data.a|round }}",
        "{{ 'x'|replace(data.b) }}",
    ] {
        let Ok(template) = Template::parse(text) else { continue };
        let error = template.render(&seen(data)).expect_err(text);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{text}: {error}");
    }
}

#[test]
fn every_growth_has_a_bound() {
    let began = Instant::now();
    for text in [
        "{% for i in range(100000) %}{% for j in range(100000) %}{{i}}{% endfor %}{% endfor %}",
        "{% for i in range(1000000000) %}{% endfor %}",
        "{{ 'x' * 100000000 }}",
        "{{ data.user * 90000000 }}",
        "{% set x = 'xxxxxxxxxx' %}{% for i in range(30) %}{% set x = x ~ x %}{% endfor %}{{ x * 1000 * 1000 * 1000 }}",
        "{{ ('x' * 100000)|replace('x', 'y' * 100000) }}",
        "{{ [1] * 90000000 }}",
        "{% for x in range(100000)|list * 1000 %}{% endfor %}",
        "{{ '%0100000000d'|format(1) }}",
        "{{ ('x' * 10000)|indent(90000000) }}",
        "{{ range(100000)|map('string')|join('x' * 10000) }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{{ (data|tojson) * 100000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{% for i in range(100000) %}{{ data|tojson }}{% endfor %}",
        "{% for i in range(100000) %}{{ data }}{% endfor %}",
    ] {
        let result = Template::parse(text).and_then(|template| template.render(&seen(DATA)));
        assert!(result.is_err(), "{text} made {} bytes", result.unwrap().len());
    }
    assert!(
        Filter::parse("(range(100000000)|list)|length > 1")
            .unwrap()
            .passes(&seen(DATA))
            .is_err()
    );
    assert!(
        began.elapsed().as_secs() < 20,
        "all of them are stopped soon: {:?}",
        began.elapsed()
    );
}

#[test]
fn the_text_of_an_expression_has_a_bound() {
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    assert_eq!(Template::parse(&long), Err(Error::TooLong(MAX_TEXT_BYTES + 1)));
    assert_eq!(Filter::parse(&long).err(), Some(Error::TooLong(MAX_TEXT_BYTES + 1)));
    assert!(Template::parse(&long[1..]).is_ok());
    // Nesting ends in an error, not on the stack.
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(20_000), ")".repeat(20_000));
    assert!(matches!(Template::parse(&deep), Err(Error::Syntax { .. })));
    let ifs = "{% if 1 %}".repeat(5000) + &"{% endif %}".repeat(5000);
    assert!(Template::parse(&ifs).and_then(|t| t.render(&seen(DATA))).is_err());
}

#[test]
fn what_is_read_of_an_event_has_a_bound() {
    let many = format!("{{\"list\":[{}1]}}", "1,".repeat(MAX_VALUES));
    let template = Template::parse("{{ data.list|length }}").unwrap();
    assert!(matches!(template.render(&seen(&many)), Err(Error::Exceeded(_))));
    // What is not looked into costs nothing.
    assert_eq!(
        Template::parse("{{ data.list is defined }}")
            .unwrap()
            .render(&seen(&many)),
        Ok("true".to_owned())
    );
    // Each level is read once, however often it is asked.
    let large = format!("{{\"body\":{{\"text\":\"{}\",\"k\":1}}}}", "x".repeat(5 << 20));
    let often =
        Template::parse("{% for i in range(10000) %}{% if data.body.k != 1 %}x{% endif %}{% endfor %}ok").unwrap();
    assert_eq!(often.render(&seen(&large)), Ok("ok".to_owned()));
    // Comparing is reading.
    let twice = format!("{{\"a\":[{0}],\"b\":[{0}]}}", "1,".repeat(100_000) + "1");
    let compare = Filter::parse("(range(1000)|map('string')|list)|length > 1 and data.a == data.b").unwrap();
    assert_eq!(compare.passes(&seen(&twice)), Ok(true));
    let loops =
        Template::parse("{% for i in range(10000) %}{% if data.a != data.b %}x{% endif %}{% endfor %}").unwrap();
    assert!(matches!(loops.render(&seen(&twice)), Err(Error::Exceeded(_))));
    let inside = Filter::parse("data.a in [1, 2, 'x'] or data.a in 'text'").unwrap();
    assert_eq!(inside.passes(&seen(&twice)), Ok(false));
}

#[test]
fn output_is_cut_on_a_character_or_refused_as_a_whole() {
    let data = format!("{{\"message\":\"{}\"}}", "ü".repeat(3 << 20));
    let template = Template::parse("{{data.message}}").unwrap();
    assert_eq!(template.render_at_most(&seen(&data), 5).unwrap(), "üü");
    assert!(matches!(template.render(&seen(&data)), Err(Error::Exceeded(_))));
    // A failure behind the cut does not matter, one before it does.
    let behind = Template::parse("{{data.message}}{{data.usr}}").unwrap();
    assert_eq!(behind.render_at_most(&seen(&data), 4).unwrap(), "üü");
    let before = Template::parse("{{data.usr}}{{data.message}}").unwrap();
    assert!(before.render_at_most(&seen(&data), 4).is_err());
}

#[test]
fn the_same_event_gives_the_same_bytes() {
    let text =
        "{{data}}{{data.list|sort|join}}{% for k, v in data.body|items %}{{k}}{{v}}{% endfor %}{{ {'b':1,'a':2} }}";
    let first = render(text).unwrap();
    for _ in 0..20 {
        assert_eq!(render(text).unwrap(), first);
    }
}
