//! Keys and passwords, read from private files and never shown.
//!
//! A [`Secret`] has no `Display`, and its `Debug` is a constant, so that it appears in no message, log
//! or event by accident. [`Secret::redact`] removes it from the texts of a service. A process with a
//! secret leaves no core, and other processes of its user cannot read its memory.

use std::fmt;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::DumpableBehavior;
use rustix::process::set_dumpable_behavior;

use crate::failure;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::text;

/// The longest key file. A longer file holds no key.
const MAX_KEY_FILE_BYTES: u64 = 4096;
/// The shortest secret that is redacted. A shorter one occurs in texts by chance, and removing it there
/// would reveal it.
const MIN_REDACTED_BYTES: usize = 4;
const REDACTED: &str = "[secret]";
/// The mode bits that a key file must not have: all but reading and writing by the owner.
const REFUSED_MODE_BITS: u32 = 0o7177;
const MODE_MASK: u32 = 0o7777;

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// Returns the secret in the text of a file or variable, without its line end. `name` is that of
    /// the file or variable, for the message.
    ///
    /// # Errors
    /// [`Exit::Config`], where it is empty or has a control character: no service accepts such a key,
    /// and a line feed would end the header that carries it.
    pub(crate) fn new(text: &str, name: &str) -> Result<Self, Failure> {
        let secret = text.trim_end_matches(['\r', '\n']);
        let fault = if secret.is_empty() {
            "is empty"
        } else if secret.contains(char::is_control) {
            "holds a line break or a control character, which no key has"
        } else {
            // This cannot fail with these arguments.
            let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
            return Ok(Self(secret.to_owned()));
        };
        Err(Failure::new(Exit::Config, format!("{} {fault}", text::escape(name))))
    }

    /// Reads a key file. It must belong to root or to the user `uid`, and only its owner may read it.
    ///
    /// # Errors
    /// [`Exit::Config`], or [`Exit::NoPermission`] where this user may not open the file. The message
    /// names the file and quotes nothing from it.
    pub(crate) fn read(path: &Path, uid: u32) -> Result<Self, Failure> {
        let key = read_private_file(path, uid)?;
        Self::new(&key, &format!("the key file {}", escaped_name(path)))
    }

    /// Returns the secret in clear text. Pass it only to its service.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Removes the secret from a text.
    pub(crate) fn redact(&self, text: &str) -> String {
        if self.0.len() < MIN_REDACTED_BYTES {
            return text.to_owned();
        }
        text.replace(&self.0, REDACTED)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// Reads a private file of one key or several, under the rule of [`Secret::read`].
///
/// # Errors
/// Those of [`Secret::read`].
pub(crate) fn read_private_file(path: &Path, uid: u32) -> Result<String, Failure> {
    let name = escaped_name(path);
    let failed = |error: &io::Error| {
        let exit = match error.kind() {
            io::ErrorKind::PermissionDenied => Exit::NoPermission,
            _ => Exit::Config,
        };
        Failure::new(
            exit,
            format!("cannot read the key file {name}: {}", failure::os_error_message(error)),
        )
    };
    // The checks use the descriptor, because the name may mean another file a moment later.
    // NONBLOCK keeps the opening of a FIFO from waiting for a writer.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(|error| failed(&error))?;
    let metadata = file.metadata().map_err(|error| failed(&error))?;
    let refused =
        |reason: String| Failure::new(Exit::Config, format!("the key file {name} {reason}"));
    if !metadata.is_file() {
        return Err(refused("is no regular file".to_owned()));
    }
    let mode = metadata.mode() & MODE_MASK;
    if mode & REFUSED_MODE_BITS != 0 {
        return Err(refused(format!("has mode {mode:04o}, others may read or change it"))
            .hint(format!("chmod 0600 {name}")));
    }
    if metadata.uid() != 0 && metadata.uid() != uid {
        let owner = metadata.uid();
        return Err(refused(format!("belongs to user {owner}, neither to root nor to you")));
    }
    if metadata.len() > MAX_KEY_FILE_BYTES {
        return Err(refused(format!(
            "is longer than {MAX_KEY_FILE_BYTES} bytes, so it holds no key"
        )));
    }
    // This cannot fail with these arguments.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    read_text(file).map_err(|error| failed(&error))
}

fn escaped_name(path: &Path) -> String {
    text::escape_bytes(path.as_os_str().as_encoded_bytes())
}

fn read_text(file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(MAX_KEY_FILE_BYTES).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    const KEY: &str = "SG.hush-hush.0123456789";

    fn key_file(folder: &tempfile::TempDir, content: &str, mode: u32) -> PathBuf {
        let path = folder.path().join("the.key");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn own_uid() -> u32 {
        rustix::process::getuid().as_raw()
    }

    #[test]
    fn a_private_file_is_read_without_the_end_of_its_line() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o400] {
            for end in ["", "\n", "\r\n"] {
                let path = key_file(&folder, &format!("{KEY}{end}"), mode);
                assert_eq!(Secret::read(&path, own_uid()).unwrap().reveal(), KEY);
                fs::remove_file(path).unwrap();
            }
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o640, 0o604, 0o644, 0o666, 0o700, 0o620, 0o1600, 0o4600] {
            let path = key_file(&folder, KEY, mode);
            let failure = Secret::read(&path, own_uid()).unwrap_err();
            assert_eq!(failure.exit, Exit::Config, "{mode:o}");
            assert!(failure.message.contains("the.key has mode"), "{failure}");
            assert!(!failure.message.contains(KEY), "{failure}");
        }
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = key_file(&folder, KEY, 0o600);
        if own_uid() == 0 {
            assert!(Secret::read(&path, 4711).is_ok(), "root's is good for everyone");
            std::os::unix::fs::chown(&path, Some(4711), None).unwrap();
            assert!(Secret::read(&path, 4711).is_ok());
        }
        let failure = Secret::read(&path, own_uid() + 1).unwrap_err();
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.message.contains("neither to root nor to you"), "{failure}");
    }

    #[test]
    fn what_is_no_key_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let refuse = |path: &Path| {
            let failure = Secret::read(path, own_uid()).unwrap_err();
            assert_eq!(failure.exit, Exit::Config);
            failure.message.replace(&folder.path().display().to_string(), "F")
        };
        let missing = folder.path().join("none\n.key");
        assert_eq!(
            refuse(&missing),
            r"cannot read the key file F/none\n.key: no such file or directory"
        );
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        assert_eq!(refuse(folder.path()), "the key file F is no regular file");
        assert_eq!(refuse(&key_file(&folder, "", 0o600)), "the key file F/the.key is empty");
        assert_eq!(refuse(&key_file(&folder, "\n", 0o600)), "the key file F/the.key is empty");
        assert_eq!(
            refuse(&key_file(&folder, "a\nb\n", 0o600)),
            "the key file F/the.key holds a line break or a control character, which no key has"
        );
        assert_eq!(
            refuse(&key_file(&folder, &"x".repeat(4097), 0o600)),
            "the key file F/the.key is longer than 4096 bytes, so it holds no key"
        );
        fs::write(folder.path().join("the.key"), b"\xff").unwrap();
        assert_eq!(
            refuse(&folder.path().join("the.key")),
            "cannot read the key file F/the.key: it is not UTF-8"
        );
    }

    #[test]
    fn a_fifo_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from(0o600)).unwrap();
        assert!(
            Secret::read(&path, own_uid()).unwrap_err().message.ends_with("is no regular file")
        );
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new(KEY, "SENDGRID_API_KEY").unwrap();
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "[secret] Some(\n    [secret],\n)");
        assert_eq!(secret.redact(&format!("no such key: {KEY}!")), "no such key: [secret]!");
        let short = Secret::new("abc", "X").unwrap();
        assert_eq!(short.redact("abc"), "abc");
        let failure = Secret::new("a\r\nBcc: x", "SENDGRID_API_KEY").unwrap_err();
        assert!(failure.message.starts_with("SENDGRID_API_KEY holds"), "{failure}");
    }
}
