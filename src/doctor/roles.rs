//! The checks of roles: who has which, and whether they bind.

use std::path::Path;

use crate::access::ADMINISTRATOR;
use crate::access::AccessPolicy;
use crate::access::Member;
use crate::caller;
use crate::doctor::Area;
use crate::doctor::Check;
use crate::doctor::CheckInputs;
use crate::doctor::file_access::FileAccess;
use crate::doctor::log::LogContents;
use crate::query::Query;
use crate::render::Status;

/// The program itself, whatever its name is now.
const PROGRAM: &str = "/proc/self/exe";
const SETGID: u32 = 0o2000;

/// Checks the roles of the config; without any there is nothing to check.
pub(super) fn evaluate(subject: &CheckInputs<'_>, contents: Option<&LogContents>) -> Vec<Check> {
    let Some(policy) = &subject.settings.policy else { return Vec::new() };
    let mut checks = vec![list_members(policy)];
    checks.extend(find_unknown_users(policy));
    if let Ok(db) = subject.settings.db() {
        let program = FileAccess::read(Path::new(PROGRAM));
        checks.extend(check_way_around(&db.value, program.as_ref()));
    }
    if contents.is_some_and(|contents| contents.has_tenants) {
        checks.extend(find_members_of_all_tenants(policy));
    }
    checks
}

fn check(name: &str, status: Status, value: impl Into<String>) -> Check {
    Check::new(Area::Access, name, status, value)
}

fn list_members(policy: &AccessPolicy) -> Check {
    let describe = |member: &Member| match &member.actor_id {
        Some(id) => format!("{} {} ({id})", member.user, member.role),
        None => format!("{} {}", member.user, member.role),
    };
    let default = policy.default_role.as_ref().map(|(role, _)| format!("everybody else {role}"));
    let all: Vec<String> = policy.members.iter().map(describe).chain(default).collect();
    if all.is_empty() {
        return check("roles", Status::Note, "nobody has one, so only root may read")
            .with_advice("[access.users] in the config gives roles");
    }
    check("roles", Status::Ok, all.join(", "))
}

fn find_unknown_users(policy: &AccessPolicy) -> Option<Check> {
    let unknown: Vec<&str> = policy
        .members
        .iter()
        .map(|member| member.user.as_str())
        .filter(|user| !caller::has_user(user))
        .collect();
    let value = format!("no user of this host is called {}", unknown.join(", "));
    (!unknown.is_empty()).then(|| {
        check("users", Status::Note, value)
            .with_advice("a name is that of /etc/passwd, or a number")
    })
}

/// Finds who can read the log without the program, so that no role binds them.
fn check_way_around(log: &Path, program: Option<&FileAccess>) -> Option<Check> {
    let access = FileAccess::read(log)?;
    let path = log.display();
    let bad = |who: &str, advice: &str| {
        let value = format!("{who} can read {path} around the program: roles do not bind them");
        Some(check("way around", Status::Bad, value).with_advice(advice))
    };
    if access.is_readable_by_others() {
        return bad("everybody", "chmod o-rwx the log and its folder");
    }
    let members = caller::members_of_group(&access.group);
    if access.is_readable_by_group() && !members.is_empty() {
        return bad(&members.join(", "), "take them out of the group");
    }
    let lends_group = program.is_some_and(|program| program.mode & SETGID != 0);
    if lends_group && program.is_some_and(|program| program.group != access.group) {
        let value = format!("the program has another group than {path}");
        return Some(
            check("install", Status::Bad, value)
                .with_advice("activity config init --system --setgid"),
        );
    }
    if access.uid != 0 {
        let value = format!("{} owns {path}, and no role binds its owner", access.user);
        return Some(check("way around", Status::Note, value).with_advice("chown root the log"));
    }
    let how = if lends_group {
        format!("setgid {}: nobody reads {path} around the program", access.group)
    } else {
        format!("users come by sudo: nobody but root reads {path}")
    };
    Some(check("install", Status::Ok, how))
}

/// Notes who sees their own events in every tenant: an id is that of one person in one tenant alone.
fn find_members_of_all_tenants(policy: &AccessPolicy) -> Option<Check> {
    let is_narrowed = |member: &Member| {
        let role = policy.roles.iter().find(|role| role.name == member.role);
        member.only != Query::default() || role.is_some_and(|role| role.only != Query::default())
    };
    let all: Vec<&str> = policy
        .members
        .iter()
        .filter(|member| member.role != ADMINISTRATOR && !is_narrowed(member))
        .map(|member| member.user.as_str())
        .collect();
    let value = format!(
        "the log has tenants, and {} no `only`: {}",
        if all.len() == 1 { "this user has" } else { "these users have" },
        all.join(", ")
    );
    (!all.is_empty()).then(|| {
        check("tenants", Status::Note, value)
            .with_advice("user 17 of another tenant counts as theirs: only = \"tenant:NAME\"")
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_log_that_everybody_reads_binds_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.db");
        fs::write(&log, "").unwrap();
        let status = |mode: u32| {
            fs::set_permissions(&log, fs::Permissions::from_mode(mode)).unwrap();
            check_way_around(&log, None).map(|check| (check.status, check.name))
        };
        assert_eq!(status(0o644), Some((Status::Bad, "way around".to_owned())));
        assert_ne!(status(0o600).map(|(status, _)| status), Some(Status::Bad));
    }

    #[test]
    fn names_and_tenants_are_looked_after() {
        let member = |user: &str, role: &str| Member {
            user: user.to_owned(),
            role: role.to_owned(),
            actor_id: None,
            only: Query::default(),
            line: 1,
        };
        let policy = AccessPolicy {
            members: vec![member("root", "viewer"), member("nobody-of-that-name", ADMINISTRATOR)],
            ..AccessPolicy::default()
        };
        let unknown = find_unknown_users(&policy).unwrap();
        assert!(unknown.value.ends_with("called nobody-of-that-name"), "{unknown:?}");
        let tenants = find_members_of_all_tenants(&policy).unwrap();
        assert!(tenants.value.ends_with("this user has no `only`: root"), "{tenants:?}");
        assert_eq!(list_members(&policy).status, Status::Ok);
    }
}
