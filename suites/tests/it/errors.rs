//! What `Errors` says, and to whom it may be handed.

use std::error::Error;
use std::fmt;
use std::future::ready;
use std::io;

use crate::common::run;
use anyhow::Context as _;
use errgroup::{CancelContext, ErrGroup, Errors, LocalErrGroup};

type BoxError = Box<dyn Error + Send + Sync>;

/// An error as most are: it says what it knows itself, and leaves the rest to its source.
#[derive(Debug)]
struct Layer(&'static str, Option<BoxError>);

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Layer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.1.as_ref().map(|source| &**source as _)
    }
}

/// The texts from the outermost to the root.
fn layers(texts: &[&'static str]) -> Layer {
    let (last, outer) = texts.split_last().unwrap();
    outer.iter().rfold(Layer(last, None), |source, text| {
        Layer(text, Some(Box::new(source)))
    })
}

fn failed<E: 'static>(errors: impl IntoIterator<Item = E>) -> Errors<E> {
    let mut group = LocalErrGroup::<(), E>::new();
    for error in errors {
        group.spawn(ready(Err(error)));
    }
    run(group.wait_all()).unwrap_err()
}

fn no_config() -> anyhow::Error {
    let missing = io::Error::new(io::ErrorKind::NotFound, "no such file");
    anyhow::Error::new(missing).context("cannot load the config")
}

#[test]
fn the_text_has_the_root_causes_of_errors_that_write_them_for_the_alternate_form() {
    let errors = failed([no_config(), anyhow::anyhow!("no disk")]);
    let text = "2 of 2 tasks failed: task 0: cannot load the config: no such file; task 1: no disk";
    assert_eq!(errors.to_string(), text);
    assert_eq!(format!("{errors:#}"), text);
}

#[test]
fn errors_in_errors_stay_on_one_line_and_show_root_causes() {
    let errors = failed([failed([no_config()])]);
    assert_eq!(
        errors.to_string(),
        "1 of 1 tasks failed: task 0: 1 of 1 tasks failed: task 0: \
         cannot load the config: no such file"
    );
}

#[test]
fn question_mark_into_anyhow_shows_root_causes() {
    async fn all(group: ErrGroup<'_, (), anyhow::Error>) -> anyhow::Result<()> {
        group.wait_all().await.context("cannot start")?;
        Ok(())
    }
    let mut group = ErrGroup::new();
    group.spawn(ready(Err(no_config())));
    let error = run(all(group)).unwrap_err();
    assert!(error.is::<Errors<anyhow::Error>>());
    let text = format!("{error:#}");
    assert!(text.starts_with("cannot start: 1 of 1"), "{text}");
    assert!(text.ends_with("cannot load the config: no such file"));
    // What `main` prints.
    assert!(format!("{error:?}").contains("cannot load the config: no such file"));
}

#[test]
fn question_mark_into_a_boxed_error_shows_root_causes() {
    async fn all<E>(group: ErrGroup<'_, (), E>) -> Result<(), BoxError>
    where
        E: fmt::Debug + fmt::Display + Send + Sync + 'static,
    {
        group.wait_all().await?;
        Ok(())
    }
    let mut group = ErrGroup::new();
    group.spawn(ready(Err(no_config())));
    let error = run(all(group)).unwrap_err();
    assert!(error.to_string().ends_with("the config: no such file"));
    assert!(error.source().is_none());

    let mut group = ErrGroup::<(), BoxError>::new();
    group.spawn(ready(Err("no route".into())));
    assert!(
        run(all(group))
            .unwrap_err()
            .to_string()
            .ends_with("no route")
    );
}

#[test]
fn report_goes_down_to_the_root() {
    let errors = failed([
        layers(&["cannot start", "cannot load the config", "no such file"]),
        layers(&["no disk"]),
    ]);
    // The text alone does not.
    assert_eq!(
        errors.to_string(),
        "2 of 2 tasks failed: task 0: cannot start; task 1: no disk"
    );
    assert_eq!(
        errors.report().to_string(),
        "2 of 2 tasks failed: task 0: cannot start: cannot load the config: no such file; \
         task 1: no disk"
    );
}

#[test]
fn report_of_no_error_says_so() {
    let errors = run(ErrGroup::<(), io::Error>::new().first_ok()).unwrap_err();
    assert_eq!(errors.report().to_string(), "0 of 0 tasks failed");
}

#[test]
fn report_does_not_write_twice_what_an_error_has_written_of_its_source() {
    for (texts, report) in [
        // Written and given as the source, on one or on all levels.
        (&["a: b", "b"] as &[_], "a: b"),
        (&["a: b: c", "b: c", "c"], "a: b: c"),
        (&["a: b: c", "b: c", "c", "d"], "a: b: c: d"),
        // Passed through, as a box would do.
        (&["a", "a", "b"], "a: b"),
        // Another one, though it ends with the same letters.
        (&["cannot", "not"], "cannot: not"),
        (&["code 40", "0"], "code 40: 0"),
        (&["b: a", "b"], "b: a: b"),
    ] {
        let errors = failed([layers(texts)]);
        let text = errors.report().to_string();
        assert_eq!(text.split_once("task 0: ").unwrap().1, report);
    }
}

#[test]
fn report_with_takes_boxed_errors() {
    fn boxed<E: Error + Send + Sync + 'static>(error: E) -> BoxError {
        error.into()
    }
    let end = "task 0: cannot load: no such file";
    let errors = failed([boxed(layers(&["cannot load", "no such file"]))]);
    assert!(errors.report_with(|e| &**e).to_string().ends_with(end));
    assert!(
        errors
            .report_with(|e| e.as_ref())
            .to_string()
            .ends_with(end)
    );

    let errors = failed([Box::<dyn Error>::from(layers(&[
        "cannot load",
        "no such file",
    ]))]);
    assert!(errors.report_with(|e| &**e).to_string().ends_with(end));
    assert!(
        errors
            .report_with(|e| e.as_ref())
            .to_string()
            .ends_with(end)
    );
}

#[test]
fn report_with_takes_errors_of_anyhow() {
    let errors = failed([no_config()]);
    let end = "task 0: cannot load the config: no such file";
    assert!(errors.report_with(|e| &**e).to_string().ends_with(end));
    assert!(
        errors
            .report_with(|e| e.as_ref())
            .to_string()
            .ends_with(end)
    );
}

#[test]
fn report_takes_errors_that_borrow() {
    #[derive(Debug)]
    struct Missing<'a>(&'a str);
    impl fmt::Display for Missing<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{} is missing", self.0)
        }
    }
    impl Error for Missing<'_> {}

    let name = String::from("x");
    let mut group = ErrGroup::<(), Missing<'_>>::new();
    group.spawn(async { Err(Missing(&name)) });
    let errors = run(group.wait_all()).unwrap_err();
    assert!(errors.report().to_string().ends_with("x is missing"));
    let report = errors.report_with(|error| error);
    assert!(report.to_string().ends_with("x is missing"));
}

// §3: the text of a reason never repeats the cause, which is its source.
#[test]
fn report_of_reasons_has_their_causes_once() {
    let context = CancelContext::new();
    context.cancel_with(layers(&["the disk is full", "no space left"]));
    let errors = failed([context.reason().unwrap()]);
    assert_eq!(
        errors.report().to_string(),
        "1 of 1 tasks failed: task 0: cancelled: the disk is full: no space left"
    );
}

#[test]
fn display_that_fails_fails_the_report_and_does_not_panic() {
    use std::fmt::Write;

    #[derive(Debug)]
    struct Broken;
    impl fmt::Display for Broken {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Err(fmt::Error)
        }
    }
    impl Error for Broken {}

    let errors = failed([Layer("outer", Some(Box::new(Broken)))]);
    assert!(write!(String::new(), "{}", errors.report()).is_err());
    assert!(write!(String::new(), "{}", failed([Broken]).report()).is_err());
}

#[test]
fn loops_go_over_errors_in_spawn_order() {
    let mut group = ErrGroup::<(), String>::new();
    group.spawn(async {
        crate::common::yields(1).await;
        Err("late".into())
    });
    group.spawn(ready(Ok(())));
    group.spawn(ready(Err("early".into())));
    let errors = run(group.wait_all()).unwrap_err();

    let mut seen = Vec::new();
    for (index, error) in &errors {
        seen.push((index, error.as_str()));
    }
    assert_eq!(seen, [(0, "late"), (2, "early")]);
    assert_eq!((&errors).into_iter().rev().len(), 2);

    let mut taken = Vec::new();
    for (index, error) in errors {
        taken.push((index, error)); // By value.
    }
    assert_eq!(taken, [(0, String::from("late")), (2, "early".into())]);
}
