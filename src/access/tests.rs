use crate::access::AccessPolicy;
use crate::access::Capability;
use crate::access::Member;
use crate::access::Permissions;
use crate::access::Person;
use crate::access::PlatformWork;
use crate::access::Reading;
use crate::access::Role;
use crate::access::Scope;
use crate::access::scope;
use crate::failure::Exit;
use crate::query::Query;

fn member(role: &str, actor_id: Option<&str>) -> AccessPolicy {
    let member = Member {
        user: "bob".to_owned(),
        role: role.to_owned(),
        actor_id: actor_id.map(str::to_owned),
        only: Query::default(),
        line: 3,
    };
    AccessPolicy { file: "config".to_owned(), members: vec![member], ..AccessPolicy::default() }
}

fn permissions_of(policy: &AccessPolicy, name: &str) -> Permissions {
    policy.permissions(&Person { name, is_root: false })
}

fn exit_of<T>(result: Result<T, crate::failure::Failure>) -> Option<Exit> {
    result.err().map(|failure| failure.exit)
}

/// Every purpose.
const READINGS: [Reading<'_>; 7] = [
    Reading::List,
    Reading::Show,
    Reading::SearchActor("17"),
    Reading::SearchTarget,
    Reading::Export,
    Reading::Digest,
    Reading::Sweep,
];

#[test]
fn without_a_policy_everything_is_visible() {
    for reading in READINGS {
        assert!(scope(&Permissions::unrestricted(), reading).unwrap().is_whole(), "{reading:?}");
    }
}

#[test]
fn a_caller_whom_nothing_names_reads_nothing() {
    let permissions = permissions_of(&member("administrator", None), "mallory");
    for reading in READINGS {
        assert_eq!(exit_of(scope(&permissions, reading)), Some(Exit::NoPermission), "{reading:?}");
    }
    assert_eq!(permissions.capabilities().names().count(), 0);
    assert!(!permissions.is_administrator());
}

#[test]
fn root_itself_may_do_everything_and_keeps_the_platform_if_it_is_named() {
    let root = Person { name: "root", is_root: true };
    let all: Vec<&str> = Capability::ALL.map(Capability::name).to_vec();
    let unnamed = member("viewer", None).permissions(&root);
    assert_eq!(unnamed.capabilities().names().collect::<Vec<_>>(), all);
    let mut policy = member("viewer", None);
    policy.members[0].user = "root".to_owned();
    let named = policy.permissions(&root);
    let wanted = ["list-own", "show-own", "search-actor-own", "ingest", "sweep", "digest"];
    assert!(named.capabilities().names().take(6).eq(wanted));
    assert!(exit_of(named.require(Capability::ListAll)).is_some());
}

#[test]
fn roles_have_the_capabilities_of_the_table() {
    let names = |role: &str| -> Vec<&str> {
        permissions_of(&member(role, None), "bob").capabilities().names().collect()
    };
    assert_eq!(names("administrator").len(), 9);
    assert_eq!(names("editor"), ["list-own", "show-own", "search-actor-own"]);
    assert_eq!(names("viewer"), names("editor"));
    let mut policy = member("editor", None);
    policy.roles = vec![Role {
        name: "editor".to_owned(),
        capabilities: [Capability::ListAll, Capability::Sweep].into_iter().collect(),
        only: Query::default(),
    }];
    let replaced = permissions_of(&policy, "bob").capabilities();
    assert!(replaced.names().eq(["list-own", "list-all", "sweep"]));
}

#[test]
fn a_grant_of_the_call_only_takes_away() {
    let policy = member("viewer", Some("17"));
    let mut permissions = permissions_of(&policy, "bob");
    permissions.narrow(policy.grant("administrator", "3", crate::access::GrantSource::Call));
    assert!(permissions.capabilities().names().eq(["list-own", "show-own", "search-actor-own"]));
    assert!(exit_of(scope(&permissions, Reading::Export)).is_some());
    let both = scope(&permissions, Reading::List).unwrap();
    assert!(both.to_string().contains("person:17"), "{both}");

    let mut permissions = Permissions::unrestricted();
    permissions.narrow(policy.grant("viewer", "17", crate::access::GrantSource::Call));
    assert_eq!(permissions.own_id(), Some("17"));
    assert!(!scope(&permissions, Reading::List).unwrap().is_whole());
    assert!(!permissions.is_administrator());
}

#[test]
fn who_may_search_for_themselves_finds_nobody_else() {
    let permissions = permissions_of(&member("viewer", Some("17")), "bob");
    let own = scope(&permissions, Reading::SearchActor("17")).unwrap();
    assert_eq!(own, scope(&permissions, Reading::List).unwrap());
    let other = scope(&permissions, Reading::SearchActor("3")).unwrap();
    assert_eq!(other.to_string(), Scope::matching(Query::nothing()).to_string());
}

#[test]
fn the_platform_sees_the_whole_log() {
    assert!(Scope::of(PlatformWork::Digest).is_whole());
    let keeper = permissions_of(&member("administrator", None), "bob");
    assert!(scope(&keeper, Reading::List).unwrap().is_whole());
}
