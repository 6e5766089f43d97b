//! Whether queues grow: the slope of the one-way delay over groups of packets,
//! held against an adaptive threshold (draft-ietf-rmcat-gcc-02 §5, with a
//! fitted line in place of the Kalman filter).

/// Packets sent within this belong to one group, microseconds.
const GROUP: i64 = 5_000;
/// Groups the line is fitted to.
const WINDOW: usize = 20;
/// Share of the past in the smoothed delay.
const SMOOTHING: f64 = 0.9;
/// Slope times groups times this is compared with the threshold, as
/// deployed senders do.
const GAIN: f64 = 4.0;
const MAX_GROUPS: f64 = 60.0;
/// So long the slope must stay above the threshold, milliseconds.
const OVERUSE_TIME: f64 = 10.0;
/// How fast the threshold follows up and down, per millisecond.
const THRESHOLD_UP: f64 = 0.0087;
const THRESHOLD_DOWN: f64 = 0.039;

/// What the path does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Usage {
    /// Queues are stable.
    #[default]
    Normal,
    /// Queues grow.
    Over,
    /// Queues drain.
    Under,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent: i64,
    last_sent: i64,
    last_arrival: i64,
}

/// See the module. All times are microseconds.
#[derive(Debug)]
pub(crate) struct Trend {
    current: Option<Group>,
    previous: Option<Group>,
    /// Arrival (milliseconds since the first) and smoothed delay.
    points: [(f64, f64); WINDOW],
    count: usize,
    groups: f64,
    first_arrival: Option<i64>,
    accumulated: f64,
    smoothed: f64,
    threshold: f64,
    threshold_at: Option<i64>,
    over: f64,
    over_groups: u32,
    slope: f64,
    usage: Usage,
}

impl Trend {
    pub(crate) fn new() -> Self {
        Self {
            current: None,
            previous: None,
            points: [(0.0, 0.0); WINDOW],
            count: 0,
            groups: 0.0,
            first_arrival: None,
            accumulated: 0.0,
            smoothed: 0.0,
            threshold: 12.5,
            threshold_at: None,
            over: -1.0,
            over_groups: 0,
            slope: 0.0,
            usage: Usage::Normal,
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// A packet arrived. In the order of sending.
    pub(crate) fn packet(&mut self, sent: i64, arrival: i64) {
        let Some(group) = &mut self.current else {
            self.current = Some(Group {
                first_sent: sent,
                last_sent: sent,
                last_arrival: arrival,
            });
            return;
        };
        if sent < group.first_sent {
            return;
        }
        let burst = sent - group.first_sent <= GROUP
            || arrival - group.last_arrival <= GROUP
                && (arrival - group.last_arrival) < (sent - group.last_sent)
                && arrival - group.last_arrival >= 0
                && sent - group.first_sent < 20 * GROUP;
        if burst {
            group.last_sent = group.last_sent.max(sent);
            group.last_arrival = group.last_arrival.max(arrival);
            return;
        }
        let done = *group;
        self.current = Some(Group {
            first_sent: sent,
            last_sent: sent,
            last_arrival: arrival,
        });
        if let Some(previous) = self.previous.replace(done) {
            let sent = done.last_sent - previous.last_sent;
            let arrived = done.last_arrival - previous.last_arrival;
            // A clock that jumps says nothing of queues.
            if (-200_000..3_000_000).contains(&(arrived - sent)) {
                self.group(sent as f64 / 1e3, arrived as f64 / 1e3, done.last_arrival);
            } else {
                self.reset();
            }
        }
    }

    fn reset(&mut self) {
        let threshold = self.threshold;
        *self = Self {
            threshold,
            ..Self::new()
        };
    }

    /// Deltas in milliseconds.
    fn group(&mut self, sent: f64, arrived: f64, arrival: i64) {
        self.groups = (self.groups + 1.0).min(MAX_GROUPS);
        self.accumulated += arrived - sent;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        let first = *self.first_arrival.get_or_insert(arrival);
        self.points.rotate_left(1);
        self.points[WINDOW - 1] = ((arrival - first) as f64 / 1e3, self.smoothed);
        self.count = (self.count + 1).min(WINDOW);
        let slope = if self.count == WINDOW {
            line(&self.points).unwrap_or(self.slope)
        } else {
            self.slope
        };
        self.detect(slope, sent, arrival);
    }

    fn detect(&mut self, slope: f64, sent: f64, arrival: i64) {
        let value = self.groups * slope * GAIN;
        if value > self.threshold {
            self.over = if self.over < 0.0 {
                sent / 2.0
            } else {
                self.over + sent
            };
            self.over_groups += 1;
            if self.over > OVERUSE_TIME && self.over_groups > 1 && slope >= self.slope {
                self.over = 0.0;
                self.over_groups = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over = -1.0;
            self.over_groups = 0;
            self.usage = if value < -self.threshold {
                Usage::Under
            } else {
                Usage::Normal
            };
        }
        self.slope = slope;
        self.adapt(value, arrival);
    }

    /// The threshold follows the slope, so that flows that fill queues
    /// themselves do not starve this one.
    fn adapt(&mut self, value: f64, arrival: i64) {
        let passed = self
            .threshold_at
            .replace(arrival)
            .map_or(0.0, |at| ((arrival - at) as f64 / 1e3).clamp(0.0, 100.0));
        if value.abs() > self.threshold + 15.0 {
            return;
        }
        let gain = if value.abs() < self.threshold {
            THRESHOLD_DOWN
        } else {
            THRESHOLD_UP
        };
        self.threshold += gain * (value.abs() - self.threshold) * passed;
        self.threshold = self.threshold.clamp(6.0, 600.0);
    }
}

/// Slope of the line through the points, least squares.
fn line(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let (sum_x, sum_y) = points
        .iter()
        .fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (over, under) = points.iter().fold((0.0, 0.0), |(over, under), (x, y)| {
        (
            over + (x - mean_x) * (y - mean_y),
            under + (x - mean_x) * (x - mean_x),
        )
    });
    (under > 0.0).then(|| over / under)
}
