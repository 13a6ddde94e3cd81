//! What becomes of a list that was changed.

use tests::scripted_ticker::ScriptedTicker;

use crate::{CONTROL_C, DOWN, LIMIT, client, ends_well, open, quote, start};

/// Alerts that are typed at the selected row, and a changed list that is asked about.
#[test]
fn alerts_are_edited_in_the_table_and_the_list_is_kept_when_asked_to() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("ticker-client/config.toml");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    std::fs::write(&file, "# mine\nsymbols = [\"AAPL\"] # two\n").expect("a file");
    let server = ScriptedTicker::start();
    let folder = home.path().to_str().expect("a path in UTF-8");
    let mut terminal = start(&server, &[], &[("XDG_CONFIG_HOME", folder)]);
    let stream = server.stream();
    open(&stream);
    terminal.wait_for_text("225.54", LIMIT);
    terminal.send(DOWN);
    terminal.send("e");
    terminal.wait_for_text("Alerts of", LIMIT);
    terminal.send(">$230\r");
    terminal.wait_for_no_text("Alerts of", LIMIT);
    stream.send(quote("AAPL", 230.5, 223.49));
    terminal.wait_for_text("AAPL 230.50 is above 230", LIMIT);
    assert_eq!(terminal.bells(), 1);
    terminal.send("aTSLA\r");
    assert_eq!(stream.requests(2), ["+AAPL", "+TSLA"]);
    terminal.send("q");
    terminal.wait_for_text("Keep the symbols and alerts? y/n", LIMIT);
    terminal.send("y");
    let text = ends_well(terminal, 0);
    assert!(text.contains("symbols and alerts kept in"), "{text}");
    let kept = std::fs::read_to_string(&file).expect("it is there");
    assert_eq!(
        kept,
        "# mine\nsymbols = [\"AAPL\", \"TSLA\"] # two\nalerts = [\"AAPL>230\"]\n"
    );
    // And it is what the next start begins with.
    let _terminal = start(&server, &[], &[("XDG_CONFIG_HOME", folder)]);
    assert_eq!(server.stream().requests(2), ["+AAPL", "+TSLA"]);
}

#[test]
fn a_changed_list_that_is_not_kept_is_told_as_arguments() {
    for (keys, is_told) in [("q\u{1b}", true), ("qn", false)] {
        let (_server, stream, mut terminal) = client(&["AAPL"]);
        terminal.wait_for_text("225.54", LIMIT);
        terminal.send("aF\r");
        assert_eq!(stream.requests(2), ["+AAPL", "+F"]);
        terminal.send("s");
        terminal.wait_for_text("Symbol↑", LIMIT);
        terminal.send("q");
        terminal.wait_for_text("Keep the symbols and order?", LIMIT);
        terminal.send(&keys[1..]);
        if is_told {
            terminal.wait_for_no_text("Keep the", LIMIT);
            terminal.send(CONTROL_C);
        }
        // The terminal breaks the line where it is full.
        let text = ends_well(terminal, 0).replace('\n', "");
        let told = "ticker-client AAPL F --sort symbol";
        assert_eq!(text.contains(told), is_told, "{text}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_said_and_nothing_ends() {
    let home = tempfile::tempdir().expect("a directory");
    // Where the folder should be is a file.
    std::fs::write(home.path().join("ticker-client"), "").expect("a file");
    let server = ScriptedTicker::start();
    let folder = home.path().to_str().expect("a path in UTF-8");
    let mut terminal = start(&server, &["AAPL"], &[("XDG_CONFIG_HOME", folder)]);
    let stream = server.stream();
    open(&stream);
    terminal.wait_for_text("225.54", LIMIT);
    terminal.send("aF\r");
    assert_eq!(stream.requests(2), ["+AAPL", "+F"]);
    terminal.send("qy");
    terminal.wait_for_text("was not written", LIMIT);
    terminal.send("qq");
    ends_well(terminal, 0);
}
