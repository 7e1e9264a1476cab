//! The house rules that a machine can check. Each fault is a line that says what, where and how to mend it; all are shown at
//! once. ARCHITECTURE.md ("Who may import whom") is the source of the import table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use self::code::{Code, bare, paths, tokens};

mod code;

/// A file longer than this says why at its top.
const MAX_LINES: usize = 500;
const REASON: &str = "// A long room:";
/// Words that name nothing.
const EMPTY_WORDS: [&str; 6] = ["helper", "helpers", "util", "utils", "manager", "managers"];
/// Other people's names.
const FOREIGN: [&str; 4] = ["hyper_util", "tokio_util", "futures_util", "http_body_util"];

#[test]
fn the_house_is_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("the repository has it");
    let rooms = rooms(&read("src/lib.rs"));
    let mut faults = lib_faults(&read("src/lib.rs"));
    let table = match import_table(&read("ARCHITECTURE.md"), &rooms) {
        Ok(table) => table,
        Err(error) => panic!("{error}"),
    };
    let files: Vec<(PathBuf, Code)> = ["src", "tests", "benches"]
        .iter()
        .flat_map(|folder| rust_files(&root.join(folder)))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a file that was just listed");
            (
                path.strip_prefix(root).expect("it is below the root").to_owned(),
                Code::read(&text),
            )
        })
        .collect();
    let tests = test_files(&files);
    for (path, code) in &files {
        faults.extend(style_faults(path, code));
        if path.starts_with("src") {
            if !tests
                .iter()
                .any(|test| path.starts_with(test) || path == &test.with_extension("rs"))
            {
                faults.extend(unwrap_faults(path, code));
                faults.extend(import_faults(path, code, &rooms, &table));
            }
            faults.extend(platform_faults(path, code));
        }
    }
    assert!(
        faults.is_empty(),
        "{} house rules are broken:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder that can be read").path())
        .flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    found.sort();
    found
}

// Files (without `.rs`) and folders that only tests compile.
fn test_files(files: &[(PathBuf, Code)]) -> Vec<PathBuf> {
    let folder = |path: &Path| match path.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") => path.parent().expect("below src").to_owned(),
        _ => path.with_extension(""),
    };
    files
        .iter()
        .flat_map(|(path, code)| code.test_modules.iter().map(|name| folder(path).join(name)))
        .collect()
}

/// The rooms: each `mod` line of lib.rs.
fn rooms(lib: &str) -> BTreeSet<String> {
    lib.lines().filter_map(module_name).map(str::to_owned).collect()
}

fn module_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("mod ")?;
    let visibility = before.trim();
    (visibility.is_empty() || visibility.starts_with("pub")).then(|| after.split(';').next().unwrap_or(after).trim())
}

fn lib_faults(lib: &str) -> Vec<String> {
    let silent = lib
        .lines()
        .filter(|line| module_name(line).is_some() && !line.contains("; // "));
    silent
        .map(|line| format!("src/lib.rs: `{line}` has no comment of a few words"))
        .collect()
}

/// Which rooms a room may import.
fn import_table(architecture: &str, rooms: &BTreeSet<String>) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let section = architecture
        .split("\n## ")
        .find(|section| section.starts_with("Who may import whom"))
        .ok_or("ARCHITECTURE.md: the section \"Who may import whom\" is missing")?;
    let words = |cell: &str| -> Vec<String> {
        let split = cell.split(|c: char| !c.is_alphanumeric() && c != '_');
        split.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let rows = section.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|');
        Some((cells.next()?, cells.next()?))
    });
    let mut table = BTreeMap::new();
    for (left, right) in rows.skip(2) {
        let named = words(right);
        let allowed: BTreeSet<String> = if right.trim_start().starts_with("all but") {
            rooms.iter().filter(|room| !named.contains(room)).cloned().collect()
        } else {
            named.into_iter().collect()
        };
        for room in words(left) {
            table.insert(room, allowed.clone());
        }
    }
    match rooms.iter().find(|room| !table.contains_key(*room)) {
        Some(room) => Err(format!(
            "ARCHITECTURE.md: `{room}` has no row in \"Who may import whom\""
        )),
        None => Ok(table),
    }
}

/// `src/inbound/platform/slack.rs` -> `inbound`, `platform`, `slack`.
fn module_path(path: &Path) -> Vec<String> {
    let names = path.with_extension("");
    let mut names: Vec<String> = names
        .iter()
        .skip(1)
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if names.last().is_some_and(|last| last == "mod") {
        names.pop();
    }
    names
}

fn import_faults(
    path: &Path,
    code: &Code,
    rooms: &BTreeSet<String>,
    table: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<String> {
    let module = module_path(path);
    let room = module[0].as_str();
    if room == "lib" || room == "main" {
        return Vec::new();
    }
    let mut imported = BTreeSet::new();
    let mut faults = Vec::new();
    for used in paths(&code.production) {
        match used[0].as_str() {
            "crate" => imported.extend(used.get(1).filter(|name| rooms.contains(*name)).cloned()),
            _ if used.iter().take_while(|name| *name == "super").count() >= module.len() => {
                faults.push(format!(
                    "{}: `{}` leaves its room: write `crate::`",
                    path.display(),
                    used.join("::")
                ));
            }
            _ => {}
        }
    }
    imported.remove(room);
    let allowed = table.get(room);
    let forbidden = imported
        .iter()
        .filter(|name| !allowed.is_some_and(|allowed| allowed.contains(*name)));
    faults.extend(forbidden.map(|name| {
        format!(
            "{}: `{room}` may not import `{name}` (ARCHITECTURE.md, \"Who may import whom\")",
            path.display()
        )
    }));
    faults
}

/// A platform's file names no other platform's.
fn platform_faults(path: &Path, code: &Code) -> Vec<String> {
    let module = module_path(path);
    let [inbound, platform, own, ..] = module.as_slice() else {
        return Vec::new();
    };
    if inbound != "inbound" || platform != "platform" {
        return Vec::new();
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/inbound/platform");
    let mut others: BTreeSet<String> = rust_files(&folder)
        .iter()
        .filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()))
        .filter(|name| name != "mod" && name != "tests")
        .collect();
    others.remove(own);
    foreign_platforms(&code.production, &others)
        .map(|other| {
            format!(
                "{}: a platform imports nothing of another platform (`{other}`)",
                path.display()
            )
        })
        .collect()
}

fn foreign_platforms<'a>(code: &str, others: &'a BTreeSet<String>) -> impl Iterator<Item = &'a String> {
    let used: BTreeSet<String> = paths(code)
        .into_iter()
        .filter_map(
            |used| match used.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["crate", "inbound", "platform", other, ..] | ["super", other, ..] => Some((*other).to_owned()),
                _ => None,
            },
        )
        .collect();
    others.iter().filter(move |other| used.contains(*other))
}

fn unwrap_faults(path: &Path, code: &Code) -> Vec<String> {
    let tokens = tokens(&code.production);
    let count = tokens
        .windows(4)
        .filter(|window| matches!(window, [".", "unwrap", "(", ")"]))
        .count();
    let fault = format!(
        "{}: {count} x `unwrap()`: write `expect(\"why this cannot fail\")`, or an error",
        path.display()
    );
    if count > 0 { vec![fault] } else { Vec::new() }
}

fn style_faults(path: &Path, code: &Code) -> Vec<String> {
    let shown = path.display();
    let mut faults = Vec::new();
    let lines = code.text.lines().count();
    let why = |line: &str| line.strip_prefix(REASON).is_some_and(|why| why.trim().len() > 10);
    let says_why = code.text.lines().take(12).any(why);
    if lines > MAX_LINES && !says_why {
        faults.push(format!(
            "{shown}: {lines} lines: make it two rooms, or begin it with `{REASON} <why>`"
        ));
    }
    let tokens = tokens(&code.bare);
    for pair in tokens.windows(2) {
        if matches!(pair, ["todo" | "unimplemented" | "dbg", "!"]) {
            faults.push(format!("{shown}: `{}!`", pair[0]));
        }
    }
    let stem = path.with_extension("");
    let names = stem.iter().map(|name| name.to_str().unwrap_or_default());
    let empty: BTreeSet<&str> = names.chain(tokens).filter(|name| says_nothing(name)).collect();
    faults.extend(
        empty
            .iter()
            .map(|name| format!("{shown}: `{name}`: helper, util and manager name nothing")),
    );
    faults
}

fn says_nothing(name: &str) -> bool {
    let mut words = Vec::new();
    for part in name.split(['_', '-']) {
        let mut start = 0;
        for (at, c) in part.char_indices().skip(1) {
            if c.is_uppercase() {
                words.push(&part[start..at]);
                start = at;
            }
        }
        words.push(&part[start..]);
    }
    !FOREIGN.contains(&name)
        && words
            .iter()
            .any(|word| EMPTY_WORDS.contains(&word.to_lowercase().as_str()))
}

// The rules themselves, each on code that breaks it.

fn table(rows: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text =
        format!("# A\n\n## Who may import whom\n\n| room | may import |\n|---|---|\n{rows}\n\n## Next\n| no | row |\n");
    import_table(
        &text,
        &BTreeSet::from(["event", "store", "gateway", "cli"].map(str::to_owned)),
    )
    .expect("a table")
}

const ROWS: &str =
    "| event | - |\n| store | event |\n| gateway | all but cli |\n| cli | event; store for the commands |";

#[test]
fn the_import_table_is_read_from_the_architecture() {
    let table = table(ROWS);
    let may = |room: &str, other: &str| table[room].contains(other);
    assert!(may("store", "event") && may("gateway", "store") && may("cli", "store") && may("cli", "event"));
    assert!(!may("store", "cli") && !may("event", "store") && !may("gateway", "cli") && !may("cli", "gateway"));
    assert!(!table.contains_key("no"));
    let rooms = BTreeSet::from(["attic".to_owned()]);
    assert!(
        import_table("## Who may import whom\n", &rooms).is_err(),
        "no such section: it is the first line"
    );
    assert!(
        import_table("\n## Who may import whom\n| a | b |\n|-|-|\n", &rooms)
            .unwrap_err()
            .contains("attic")
    );
}

#[test]
fn an_import_against_the_table_is_found_in_every_spelling() {
    let rooms: BTreeSet<String> = ["event", "store", "gateway", "cli"].map(str::to_owned).into();
    let faults = |path: &str, text: &str| import_faults(Path::new(path), &Code::read(text), &rooms, &table(ROWS)).len();
    for text in [
        "use crate::cli::main;",
        "use crate::{event::Event, cli};",
        "use crate::{\n    event::{Event, Name},\n    cli::{self, main as run},\n};",
        "fn f() { crate::cli::main() }",
        "fn f() { super::super::cli::main() }",
        "const A: char = '\"'; use crate::cli;",
        "fn f<'a>(x: &'a str) { crate::cli::main() }",
    ] {
        assert_eq!(faults("src/store/sqlite.rs", text), 1, "{text}");
    }
    for text in [
        "use crate::event::Event;",
        "use crate::{store::Store, event};",
        "// use crate::cli;",
        "/// [`crate::cli`]\nfn f() {}",
        "const A: &str = \"crate::cli\";",
        "const A: &str = r#\"\" crate::cli\"#;",
        "/* /* */ use crate::cli; */",
        "use super::Store;",
        "#[cfg(test)]\nmod tests {\n    use crate::cli;\n}",
    ] {
        assert_eq!(faults("src/store/sqlite.rs", text), 0, "{text}");
    }
    assert_eq!(faults("src/store/mod.rs", "use super::cli;"), 1);
    assert_eq!(faults("src/gateway.rs", "use crate::{cli, store};"), 1);
    assert_eq!(faults("src/main.rs", "use crate::cli;"), 0);
}

#[test]
fn a_platform_that_names_another_is_found() {
    let others = BTreeSet::from(["slack".to_owned()]);
    let found = |text: &str| foreign_platforms(&bare(text), &others).count();
    assert_eq!(found("use super::slack::verify;"), 1);
    assert_eq!(found("use crate::inbound::{platform::{slack, Platform}, receive};"), 1);
    assert_eq!(found("use super::Platform; fn slack() {}"), 0);
}

#[test]
fn what_only_tests_compile_is_told_apart() {
    let code = Code::read(
        "fn a() { b().unwrap(); }\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nfn c() { d().unwrap() }\nfn e() {}",
    );
    assert_eq!(code.test_modules, ["tests"]);
    assert_eq!(unwrap_faults(Path::new("src/a.rs"), &code).len(), 1);
    assert!(code.production.contains("fn e") && !code.production.contains("fn c"));
    let files = [(
        PathBuf::from("src/store/mod.rs"),
        Code::read("#[cfg(test)]\npub(crate) mod tests;"),
    )];
    assert_eq!(test_files(&files), [PathBuf::from("src/store/tests")]);
    let files = [(
        PathBuf::from("src/reconcile/watcher.rs"),
        Code::read("#[cfg(test)]\nmod tests;"),
    )];
    assert_eq!(test_files(&files), [PathBuf::from("src/reconcile/watcher/tests")]);
}

#[test]
fn each_rule_of_style_can_be_broken() {
    let faults = |path: &str, text: &str| style_faults(Path::new(path), &Code::read(text)).len();
    assert_eq!(faults("src/a.rs", "fn f() { todo!() }"), 1);
    assert_eq!(faults("src/a.rs", "fn f() { unimplemented!(); dbg!(1) }"), 2);
    assert_eq!(faults("src/a.rs", "// todo!()\nconst A: &str = \"dbg!\";"), 0);
    assert_eq!(faults("src/a.rs", "struct RouteManager; fn string_utils() {}"), 2);
    assert_eq!(faults("src/util.rs", ""), 1);
    assert_eq!(faults("src/a.rs", "use hyper_util::rt; fn utility() {}"), 0);
    let long = "fn f() {}\n".repeat(MAX_LINES + 1);
    assert_eq!(faults("src/a.rs", &long), 1);
    assert_eq!(
        faults(
            "src/a.rs",
            &format!("{REASON} one table, read from top to bottom\n{long}")
        ),
        0
    );
    assert_eq!(
        faults("src/a.rs", &format!("{REASON}\n{long}")),
        1,
        "a reason is more than its heading"
    );
    assert_eq!(lib_faults("pub mod a; // what it is\npub mod b;\nmod c; //\n").len(), 2);
}
