//! `activity search-actor` and `activity search-target`: one person, one record.

use serde_json::json;

use crate::support::Sandbox;
use crate::support::join_lines;

#[test]
fn a_persons_events_include_those_done_as_somebody_else() {
    let sandbox = Sandbox::with_events();
    let found = |who: &str| sandbox.run(["search-actor", who, "--json"]).ok().ids();
    assert_eq!(found("3"), [1, 4, 5]);
    assert_eq!(found("jerome cruz"), [1, 4, 5]);
    assert_eq!(found("17"), [5, 6]);
    assert_eq!(found("JIM compton"), [6]);
    assert_eq!(found("maria*"), [3]);
    assert_eq!(found("nobody"), [0_i64; 0]);
}

#[test]
fn a_records_history_is_found_by_id_slug_label_or_type() {
    let sandbox = Sandbox::with_events();
    let found = |what: &str| sandbox.run(["search-target", what, "--json"]).ok().ids();
    assert_eq!(found("user/17"), [1, 6]);
    assert_eq!(found("17"), [1, 6]);
    assert_eq!(found("spring-launch"), [3]);
    assert_eq!(found("page/old-pricing"), [5]);
    assert_eq!(found("post/old-pricing"), [0_i64; 0]);
    assert_eq!(found("OLD PRICING"), [5]);
}

#[test]
fn names_are_taken_literally() {
    let sandbox = Sandbox::new();
    let names =
        ["system:admin", "a, b", "-dash", "quo\"te", "two words", "x/y/z", "back\\slash", "é"];
    sandbox.ingest(join_lines(
        names.map(|n| json!({"action":"a","actor_id":n,"target_id":n}).to_string()),
    ));
    for (place, name) in (1..).zip(names) {
        for command in ["search-actor", "search-target"] {
            let out = sandbox.run([command, "--json", "--", name]).ok();
            assert_eq!(out.ids(), [place], "{command} {name}");
        }
    }
}

#[test]
fn a_summary_of_the_person_stands_above_the_table() {
    let sandbox = Sandbox::with_events();
    insta::assert_snapshot!(sandbox.run(["search-actor", "17"]), @"
    17
      people     17 s2l.online James Compton, 1 event: person:17 tenant:s2l.online
                 17 other.example Jim Compton, 1 event: person:17
                 tenant:other.example
      events     2 from 2025-03-04T08:00:00.000Z to 2025-03-04T16:00:00.000Z on 2
                 records: Jim Compton 1, Old pricing 1
      types      page 1 · user 1
      kinds      auth.login_failed 1 · page.delete 1

    WHEN                      ACTOR                 ACTION               TARGET
    2025-03-04T16:00:00.000Z  (by Jerome Cruz)      page.delete          Old pricing
    2025-03-04T08:00:00.000Z  Jim Compton           ✗ auth.login_failed  Jim Compton
    ------- stderr -------
    2 events · activity show 5 for the newest in full · --help for filters
    [exit status: 0]
    ");
    insta::assert_snapshot!(sandbox.run(["search-actor", "jerome cruz"]), @"
    jerome cruz  Jerome Cruz
      labels     Jerome Cruz
      id         3
      events     3 from 2025-03-04T16:00:00.000Z to 2025-03-05T14:28:09.551Z on 3
                 records: General settings 1, James Compton 1, Old pricing 1
      types      page 1 · setting 1 · user 1
      kinds      page.delete 1 · settings.write 1 · user.edit 1

    WHEN                      ACTOR               ACTION          TARGET
    2025-03-05T14:28:09.551Z  Jerome Cruz         user.edit       James Compton
    2025-03-05T11:30:00.000Z  Jerome Cruz         settings.write  General settings…
    2025-03-04T16:00:00.000Z  (by Jerome Cruz)    page.delete     Old pricing
    ------- stderr -------
    3 events · activity show 1 for the newest in full · --help for filters
    [exit status: 0]
    ");
}

#[test]
fn a_summary_of_the_record_stands_above_the_table() {
    let sandbox = Sandbox::with_events();
    insta::assert_snapshot!(sandbox.run(["search-target", "user/17"]), @"
    user/17
      records    user/17 s2l.online James Compton, 1 event: type:user target_id:17
                 tenant:s2l.online
                 user/17 other.example Jim Compton, 1 event: type:user target_id:17
                 tenant:other.example
      events     2 from 2025-03-04T08:00:00.000Z to 2025-03-05T14:28:09.551Z by 2
                 people: Jerome Cruz 1, Jim Compton 1
      kinds      auth.login_failed 1 · user.edit 1

    WHEN                      ACTOR        ACTION               TARGET
    2025-03-05T14:28:09.551Z  Jerome Cruz  user.edit            James Compton
    2025-03-04T08:00:00.000Z  Jim Compton  ✗ auth.login_failed  Jim Compton
    ------- stderr -------
    2 events · activity show 1 for the newest in full · --help for filters
    [exit status: 0]
    ");
}

#[test]
fn the_summary_counts_all_events_and_the_table_pages() {
    let sandbox = Sandbox::new();
    sandbox.ingest(join_lines((0..75).map(|n| {
        json!({"action":"a.b","actor_id":"7","actor_label":"Seven","target_type":"page",
            "target_id":(n % 5).to_string(),"occurred_at":1_700_000_000 + n})
        .to_string()
    })));
    let out = sandbox.run(["search-actor", "seven"]).ok();
    assert!(out.stdout().contains("75"), "all events are counted\n{out}");
    assert_eq!(out.stdout().matches("a.b").count() - 1, 50, "the table has a page\n{out}");
    let out = sandbox.run(["search-actor", "seven", "--json", "--limit", "20", "--page", "4"]).ok();
    assert_eq!(out.ids(), (1..=15).rev().collect::<Vec<_>>());
    let out = sandbox
        .run(["search-target", "page/3", "--json", "--sort", "when:asc", "--limit", "2"])
        .ok();
    assert_eq!(out.ids(), [4, 9]);
    let after = format!("{},{}", out.json_lines()[1]["occurred_at"].as_str().unwrap(), 9);
    let args = [
        "search-target",
        "page/3",
        "--json",
        "--sort",
        "when:asc",
        "--limit",
        "1",
        "--after",
        &after,
    ];
    assert_eq!(sandbox.run(args).ok().ids(), [14]);
}

#[test]
fn every_filter_and_output_of_list_works_with_them() {
    let sandbox = Sandbox::with_events();
    let out = sandbox.run(["search-actor", "3", "--json", "is:edit", "--severity", "high"]).ok();
    assert_eq!(out.ids(), [4]);
    let out =
        sandbox.run(["search-actor", "3", "--json", "-action:user.*", "since:2025-03-05"]).ok();
    assert_eq!(out.ids(), [4]);
    let out = sandbox.run(["search-target", "17", "--json", "--failed"]).ok();
    assert_eq!(out.ids(), [6]);
    let out = sandbox.run(["search-target", "17", "--columns", "id,action"]).ok();
    assert!(out.stdout().contains("auth.login_failed"), "{out}");
    sandbox.run(["search-actor", "3", "--view", "http"]).ok().done();
    let out = sandbox.run(["search-actor", "3", "--output", "csv"]).ok();
    assert_eq!(out.stdout().lines().count(), 4, "{out}");
}

#[test]
fn nothing_found_suggests_the_nearest_names() {
    let sandbox = Sandbox::with_events();
    let out = sandbox.run(["search-actor", "jerom cruz"]).ok().no_stdout();
    assert!(out.stderr().contains("did you mean") && out.stderr().contains("Jerome Cruz"), "{out}");
    let out = sandbox.run(["search-target", "spring-lunch"]).ok().no_stdout();
    assert!(out.stderr().contains("did you mean"), "{out}");
    sandbox.run(["search-actor", "jerom cruz", "--json"]).ok().no_stdout().done();
}

#[test]
fn they_need_a_name_and_a_log() {
    let sandbox = Sandbox::new();
    sandbox.run(["search-actor"]).exits(2).done();
    sandbox.run(["search-target"]).exits(2).done();
    sandbox.run(["search-actor", "x"]).exits(66).no_stdout().stderr_is_one_error().done();
    sandbox.run(["search-target", "x"]).exits(66).no_stdout().stderr_is_one_error().done();
}

#[test]
fn two_records_of_one_id_and_two_people_of_one_name_are_told_apart() {
    let sandbox = Sandbox::new();
    sandbox.ingest(
        "{\"action\":\"a\",\"actor_id\":\"3\",\"actor_label\":\"Ann\",\"target_type\":\"user\",\"target_id\":\"17\",\"target_label\":\"Jim\"}\n\
         {\"action\":\"a\",\"actor_id\":\"4\",\"actor_label\":\"Ann\",\"target_type\":\"page\",\"target_id\":\"17\",\"target_label\":\"About us\"}\n\
         {\"action\":\"b\",\"actor_id\":\"4\",\"actor_label\":\"Ann\",\"tenant\":\"t\"}\n",
    );
    let out = sandbox.run(["search-target", "17"]).ok();
    let said = out.stdout();
    assert!(said.contains("user/17 Jim, 1 event: type:user target_id:17"), "{out}");
    assert!(said.contains("page/17 About us, 1 event: type:page target_id:17"), "{out}");
    assert!(!said.contains("before that"), "{out}");
    let out = sandbox.run(["search-actor", "ann"]).ok();
    for line in ["3 Ann, 1 event: person:3 -has:tenant", "4 t Ann, 1 event: person:4 tenant:t"] {
        assert!(out.stdout().contains(line), "{out}");
    }
    for query in ["person:3 -has:tenant", "person:4 tenant:t", "type:user target_id:17"] {
        assert_eq!(sandbox.run(["list", "--json", query]).ok().ids().len(), 1, "{query}");
    }
}
