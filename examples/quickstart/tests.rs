//! The story ends well on the sample, twice on one store, and badly, in one line, on bad input.

use super::*;

fn tell(file: Option<&Path>, store: Option<&Path>) -> Result<(), Stop> {
    pollster::block_on(run(Arguments { file: file.map(Path::to_owned), store: store.map(Path::to_owned), host: None }))
}

#[test]
fn the_main_job_is_done_and_a_second_run_opens_what_the_first_left() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        if let Err(Stop::Input(line) | Stop::Broken(line)) = tell(None, Some(folder.path())) {
            panic!("{line}");
        }
    }
}

#[test]
fn bad_input_is_one_line_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let too_large = format!("{{\"a\": \"{}\"}}", "v".repeat(200_000));
    for (content, want) in [
        (Some(""), "the document is empty"),
        (Some("not json"), "not JSON, at line 1"),
        (Some("{\"a\": 1, \"a\": 2}"), "an object repeats a key"),
        (Some(too_large.as_str()), "a value is larger than"),
        (None, "No such file"),
    ] {
        let (file, store) = (folder.path().join("input.json"), folder.path().join("store"));
        let _ = fs::remove_file(&file);
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        }
        match tell(Some(&file), Some(&store)) {
            Err(Stop::Input(line)) => assert!(line.contains(want) && !line.contains('\n'), "{line}"),
            _ => panic!("accepted"),
        }
        assert!(!store.exists(), "{want}");
    }
    let file = folder.path().join("a-file");
    fs::write(&file, "x").unwrap();
    assert!(matches!(tell(None, Some(&file.join("below"))), Err(Stop::Input(_))));
}

#[test]
fn the_first_host_may_be_elsewhere() {
    client::served(|url| {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let words = ["--host", url, "--store", folder.path().to_str().unwrap()].map(str::to_owned);
            let told = arguments(words.into_iter()).and_then(|arguments| pollster::block_on(run(arguments)));
            if let Err(Stop::Input(line) | Stop::Broken(line)) = told {
                panic!("{line}");
            }
            assert!(!folder.path().join("host-a").exists());
        }
    });
}
