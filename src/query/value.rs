//! Values of queries other than text: ranges of numbers and severities, sources, and addresses.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;

use crate::event::EventId;
use crate::event::Severity;
use crate::event::Source;
use crate::query::error;
use crate::query::pattern::Pattern;
use crate::query::qualifiers;
use crate::text;

/// A range of values, including both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ValueRange<T> {
    pub from: T,
    pub to: T,
}

impl<T: Copy + PartialOrd> ValueRange<T> {
    pub(crate) fn contains(&self, value: T) -> bool {
        self.from <= value && value <= self.to
    }
}

/// A range of ids, in one log or in each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PlaceRange {
    /// The name of the log or of its host.
    pub log: Option<String>,
    pub ids: ValueRange<EventId>,
}

impl PlaceRange {
    pub(crate) fn of_any_log(ids: ValueRange<EventId>) -> Self {
        Self { log: None, ids }
    }

    pub(crate) fn contains(&self, log: Option<&str>, id: EventId) -> bool {
        let is_of_log = |wanted: &str| log.is_some_and(|log| log_names(log).contains(&wanted));
        self.log.as_deref().is_none_or(is_of_log) && self.ids.contains(id)
    }
}

/// Returns the names by which a query knows a log: its own, and that of its host. Several logs of a host
/// are told apart by what stands behind a `~`.
pub(crate) fn log_names(log: &str) -> [&str; 2] {
    [log, log.split('~').next().unwrap_or(log)]
}

/// A value of which a query can name a range.
pub(super) trait RangeValue: Copy + PartialOrd + fmt::Display + 'static {
    const LEAST: Self;
    const GREATEST: Self;
    /// A noun with its article and examples, for messages.
    const DESCRIPTION: &'static str;

    fn parse_value(text: &str) -> Option<Self>;
    fn next(self) -> Option<Self>;
    fn previous(self) -> Option<Self>;
}

impl RangeValue for u16 {
    const LEAST: Self = 100;
    const GREATEST: Self = 599;
    const DESCRIPTION: &'static str = "a status, like 404, 4xx, 500-599 or >=400";

    fn parse_value(text: &str) -> Option<Self> {
        digits(text)?.parse().ok().filter(|status| (Self::LEAST..=Self::GREATEST).contains(status))
    }

    fn next(self) -> Option<Self> {
        (self < Self::GREATEST).then(|| self + 1)
    }

    fn previous(self) -> Option<Self> {
        (self > Self::LEAST).then(|| self - 1)
    }
}

impl RangeValue for EventId {
    const LEAST: Self = Self(1);
    const GREATEST: Self = Self(i64::MAX);
    const DESCRIPTION: &'static str = "the number of an event, like 17, 10-20 or >=10";

    fn parse_value(text: &str) -> Option<Self> {
        digits(text)?.parse().ok().map(Self).filter(|id| *id >= Self::LEAST)
    }

    fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    fn previous(self) -> Option<Self> {
        (self > Self::LEAST).then(|| Self(self.0 - 1))
    }
}

impl RangeValue for Severity {
    const LEAST: Self = Self::Info;
    const GREATEST: Self = Self::Critical;
    const DESCRIPTION: &'static str = "a severity: critical, high, medium, low or info";

    fn parse_value(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn next(self) -> Option<Self> {
        Self::ALL.into_iter().find(|level| *level > self)
    }

    fn previous(self) -> Option<Self> {
        Self::ALL.into_iter().rev().find(|level| *level < self)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

/// The error of a range: the part that is wrong, and the reason.
pub(super) type RangeError<'a> = (&'a str, String);

/// Parses `5`, `5-9`, `>=5`, `>5`, `<=5` and `<5`. `alone` returns the range of a single value.
pub(super) fn parse_range<T: RangeValue>(
    text: &str,
    alone: impl Fn(T) -> ValueRange<T>,
) -> Result<ValueRange<T>, RangeError<'_>> {
    let read = |part| {
        T::parse_value(part)
            .ok_or_else(|| (part, format!("{} is not {}", error::quoted(part), T::DESCRIPTION)))
    };
    let none = |side, limit: T| (text, format!("nothing is {side} {limit}"));
    if let Some(value) = text.strip_prefix(">=") {
        return Ok(ValueRange { from: read(value)?, to: T::GREATEST });
    }
    if let Some(value) = text.strip_prefix("<=") {
        return Ok(ValueRange { from: T::LEAST, to: read(value)? });
    }
    if let Some(value) = text.strip_prefix('>') {
        let from = read(value)?.next().ok_or_else(|| none("above", T::GREATEST))?;
        return Ok(ValueRange { from, to: T::GREATEST });
    }
    if let Some(value) = text.strip_prefix('<') {
        let to = read(value)?.previous().ok_or_else(|| none("below", T::LEAST))?;
        return Ok(ValueRange { from: T::LEAST, to });
    }
    match text.split_once('-') {
        Some((from, to)) if !from.is_empty() => {
            let (from, to) = (read(from)?, read(to)?);
            if from > to {
                return Err((text, format!("{} runs backwards", error::quoted(text))));
            }
            Ok(ValueRange { from, to })
        }
        _ => Ok(alone(read(text)?)),
    }
}

/// Parses a range of statuses, a class like `4xx` or `50x`, or a pattern of digits and stars.
pub(super) fn parse_statuses<'a>(
    text: &'a str,
    pattern: &Pattern,
) -> Result<Vec<ValueRange<u16>>, RangeError<'a>> {
    let class = text.trim_end_matches(['x', 'X']);
    let status_pattern = if pattern.as_literal().is_none() {
        Some(pattern.clone())
    } else if class.len() < text.len() && text.len() == 3 {
        // Three characters in all, so that a star matches the same statuses as the x's.
        Some(Pattern::glob(&format!("{class}*")))
    } else {
        None
    };
    let Some(status_pattern) = status_pattern else {
        return parse_range(text, |status| ValueRange { from: status, to: status })
            .map(|range| vec![range]);
    };
    let mut ranges: Vec<ValueRange<u16>> = Vec::new();
    for status in u16::LEAST..=u16::GREATEST {
        if !status_pattern.matches(&status.to_string()) {
            continue;
        }
        match ranges.last_mut() {
            Some(last) if last.to + 1 == status => last.to = status,
            _ => ranges.push(ValueRange { from: status, to: status }),
        }
    }
    if ranges.is_empty() {
        return Err((text, format!("{} is not {}", error::quoted(text), u16::DESCRIPTION)));
    }
    Ok(ranges)
}

/// Returns the sources whose names match, in any case.
pub(super) fn matching_sources(pattern: &Pattern) -> Vec<Source> {
    let folded = pattern.folded();
    Source::ALL.into_iter().filter(|source| folded.matches(source.name())).collect()
}

/// Returns the range of a severity and all above it.
pub(super) fn at_least(level: Severity) -> ValueRange<Severity> {
    ValueRange { from: level, to: Severity::GREATEST }
}

/// A set of addresses: a range of one family, or a pattern for their text.
///
/// An IPv4 address in IPv6 form (`::ffff:192.0.2.1`) is the same host as the IPv4 address, so ranges
/// treat both forms alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AddressSet {
    V4(ValueRange<u32>),
    V6(ValueRange<u128>),
    Pattern(Pattern),
}

impl AddressSet {
    /// Parses `192.0.2.1`, `192.0.2.0/24`, `192.0.2.1-192.0.2.9` or `192.0.2.*`.
    pub(super) fn parse(text: &str, pattern: &Pattern) -> Option<Self> {
        if pattern.as_literal().is_none() {
            // The log keeps addresses in the form of RFC 5952, which is in lower case.
            return Some(Self::Pattern(pattern.folded()));
        }
        if let Some((address, length)) = text.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let length: u32 = digits(length)?.parse().ok()?;
            let width = if address.is_ipv4() { 32 } else { 128 };
            let free = width - Some(length).filter(|length| *length <= width)?;
            let hosts = u128::MAX.checked_shr(128 - free).unwrap_or(0);
            let address = to_bits(address);
            return Some(Self::from_range(width, address & !hosts, address | hosts));
        }
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let (from, to): (IpAddr, IpAddr) = (from.parse().ok()?, to.parse().ok()?);
        let width = if from.is_ipv4() { 32 } else { 128 };
        let in_order = from.is_ipv4() == to.is_ipv4() && from <= to;
        in_order.then(|| Self::from_range(width, to_bits(from), to_bits(to)))
    }

    fn from_range(width: u32, from: u128, to: u128) -> Self {
        let v4 = |from: u128, to: u128| {
            let part = |bits: u128| u32::try_from(bits & u128::from(u32::MAX)).unwrap_or(u32::MAX);
            Self::V4(ValueRange { from: part(from), to: part(to) })
        };
        const MAPPED: RangeInclusive<u128> = 0xffff_0000_0000..=0xffff_ffff_ffff;
        if width == 32 || (MAPPED.contains(&from) && MAPPED.contains(&to)) {
            v4(from, to)
        } else {
            Self::V6(ValueRange { from, to })
        }
    }

    /// Whether any of the sets contains an address, given as text.
    pub(crate) fn any_contains(sets: &[Self], text: &str) -> bool {
        let address: Option<IpAddr> = text.parse().ok();
        let v4 = match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => Some(address.to_bits()),
            _ => None,
        };
        let v6 = match address {
            Some(IpAddr::V6(address)) => Some(address.to_bits()),
            _ => None,
        };
        sets.iter().any(|set| match set {
            Self::Pattern(pattern) => pattern.matches(text),
            Self::V4(range) => v4.is_some_and(|address| range.contains(address)),
            Self::V6(range) => v6.is_some_and(|address| range.contains(address)),
        })
    }
}

fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl fmt::Display for AddressSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, from, to) = match self {
            Self::Pattern(pattern) => return pattern.fmt(f),
            Self::V4(range) => (32, u128::from(range.from), u128::from(range.to)),
            Self::V6(range) => (128, range.from, range.to),
        };
        let address = |bits: u128| match u32::try_from(bits) {
            Ok(bits) if width == 32 => IpAddr::V4(Ipv4Addr::from_bits(bits)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        };
        let hosts = from ^ to;
        let is_network = hosts & hosts.wrapping_add(1) == 0 && from & hosts == 0;
        if from == to {
            write!(f, "{}", address(from))
        } else if is_network {
            write!(f, "{}/{}", address(from), width - hosts.count_ones())
        } else {
            write!(f, "{}-{}", address(from), address(to))
        }
    }
}

/// A field that an event may have, for `has:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PresentField {
    /// The actor, by id or label.
    Actor,
    Impersonator,
    /// The target, by type, id or label.
    Target,
    /// A field by its name.
    Field(&'static str),
}

impl PresentField {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Impersonator => "impersonator",
            Self::Target => "target",
            Self::Field(name) => name,
        }
    }

    /// Reads the name of a field, one of its other names, or that of a qualifier.
    pub(super) fn parse(typed: &str) -> Option<Self> {
        let lower = typed.to_ascii_lowercase();
        let parties = [Self::Actor, Self::Impersonator, Self::Target];
        let party = parties.into_iter().find(|party| party.name() == lower);
        party.or_else(|| qualifiers::field_of(typed).map(Self::Field))
    }
}

/// A property of events that several fields decide, for `is:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum EventProperty {
    Impersonated,
    Failed,
    System,
    Edit,
}

impl EventProperty {
    pub(crate) const ALL: [Self; 4] = [Self::Impersonated, Self::Failed, Self::System, Self::Edit];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Impersonated => "impersonated",
            Self::Failed => "failed",
            Self::System => "system",
            Self::Edit => "edit",
        }
    }

    pub(super) fn parse(typed: &str) -> Option<Self> {
        let typed = text::fold(typed);
        Self::ALL.into_iter().find(|is| is.name() == typed)
    }
}
