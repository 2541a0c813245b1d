# §4 of docs/format/consent.md in Rego. data.world is the policy, input the request and what its host knows.
package consent

import rego.v1

ask := input.ask

party := input.host.party

now := input.host.now

# Refused whole: the first that holds.

default refusal := 0

refusal := 1 if {
	not data.world.parties[party]
} else := 2 if {
	not ask.purpose
} else := 3 if {
	not data.world.below[ask.purpose]
} else := 4 if {
	not is_number(ask.action)
} else := 5 if {
	not ask.basis
} else := 6 if {
	not available
} else := 7 if {
	count(asked) == 0
}

kind := data.world.parties[party]

available if {
	ask.basis in {1, 2, 3, 4, 5}
	kind in {0, 1}
}

available if {
	ask.basis == 6
	kind == 1
}

available if {
	ask.basis == 7
	kind == 1
	data.world.regime == 2
}

available if {
	ask.basis == 8
	kind == 2
}

asked contains field if {
	ask.all
	some field, _ in data.world.fields
}

asked contains field if {
	ask.fields
	some field in ask.fields
}

# The thirteen sieves, one after another.

sieved[field] := [s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13] if {
	refusal == 0
	some field in asked
	s1 := {id | some id, p in data.world.permissions; chooses(p, field); on_a_roster(p.to)}
	s2 := {id | some id in s1; is_named(data.world.permissions[id].to)}
	s3 := {id | some id in s2; ask.purpose in data.world.below[data.world.permissions[id].purposes[0]]}
	s4 := {id | some id in s3; ask.action in data.world.permissions[id].actions}
	s5 := {id | some id in s4; data.world.permissions[id].basis == ask.basis}
	s6 := {id | some id in s5; data.world.permissions[id].status == 0}
	s7 := {id | some id in s6; is_mandated(data.world.permissions[id])}
	s8 := {id | some id in s7; is_inside(data.world.permissions[id].bounds, now)}
	s9 := {id | some id in s8; is_grounded(data.world.permissions[id], field)}
	s10 := {id | some id in s9; data.world.permissions[id].assurance <= input.host.assurance}
	s11 := {id | some id in s10; every condition in data.world.permissions[id].conditions { condition in input.host.conditions }}
	s12 := {id | some id in s11; may_pass(data.world.permissions[id])}
	s13 := {id | some id in s12; has_uses(data.world.permissions[id], id)}
}

chooses(rule, field) if rule.fields == null

chooses(rule, field) if {
	rule.fields != null
	above := data.world.fields[field].above
	some name in rule.fields.include
	name in above
	excluded := {other | some other in rule.fields.exclude; other in above}
	count(excluded) == 0
}

current(cluster) := data.world.clusters[cluster].rosters[data.world.clusters[cluster].current]

on_a_roster(to) if to.party == party

on_a_roster(to) if {
	to.cluster
	party in current(to.cluster)
}

on_a_roster(to) if {
	to.roster != "0"
	party in data.world.clusters[to.cluster].rosters[to.roster]
}

is_named(to) if to.party == party

is_named(to) if {
	to.roster == "0"
	party in current(to.cluster)
}

is_named(to) if {
	to.roster != "0"
	party in current(to.cluster)
	party in data.world.clusters[to.cluster].rosters[to.roster]
}

is_mandated(rule) if rule.mandate == null

is_mandated(rule) if {
	rule.mandate != null
	mandate := data.world.mandates[rule.mandate]
	mandate.status == 0
	is_inside(mandate.bounds, now)
}

is_inside(bounds, time) if {
	has_begun(bounds, time)
	is_not_over(bounds, time)
}

has_begun(bounds, time) if bounds[0] == null

has_begun(bounds, time) if bounds[0] <= time

is_not_over(bounds, time) if bounds[1] == null

is_not_over(bounds, time) if time < bounds[1]

is_grounded(rule, field) if data.world.fields[field].sensitivity == 0

is_grounded(rule, field) if rule.basis == 8

is_grounded(rule, field) if {
	rule.ground == ask.ground
	suits(ask.ground, data.world.fields[field].sensitivity)
}

suits(ground, sensitivity) if {
	sensitivity == 1
	ground < 11
}

suits(ground, sensitivity) if {
	sensitivity == 2
	ground == 11
}

may_pass(rule) if ask.action != 5

may_pass(rule) if {
	ask.recipient
	ask.recipient in rule.recipients
}

has_uses(rule, id) if rule.limit == null

has_uses(rule, id) if {
	rule.limit != null
	counted := [use | some use in object.get(input.host.uses, id, []); is_counted(rule.limit, use)]
	count(counted) < rule.limit[0]
}

is_counted(limit, use) if limit[1] == null

is_counted(limit, use) if now - use < limit[1]

# Prohibitions.

met[field] contains id if {
	refusal == 0
	some field in asked
	some id, d in data.world.prohibitions
	against(d.to)
	overlaps(d)
	acts(d)
	chooses(d, field)
	is_inside(d.bounds, now)
	is_begun_under(d)
}

against(to) if reaches(to, party)

against(to) if {
	ask.action == 5
	reaches(to, ask.recipient)
}

reaches(to, somebody) if to.anyone

reaches(to, somebody) if to.party == somebody

reaches(to, somebody) if {
	to.cluster
	some members in data.world.clusters[to.cluster].rosters
	somebody in members
}

overlaps(rule) if rule.purposes == null

overlaps(rule) if {
	rule.purposes != null
	some purpose in rule.purposes
	some below in data.world.below[purpose]
	below in data.world.below[ask.purpose]
}

acts(rule) if rule.actions == null

acts(rule) if {
	rule.actions != null
	ask.action in rule.actions
}

is_begun_under(rule) if rule.mandate == null

is_begun_under(rule) if {
	rule.mandate != null
	has_begun(data.world.mandates[rule.mandate].bounds, now)
}

# Released: of each rank, what no prohibition of it or a higher one is about.

released contains [field, time, id] if {
	some field, sieves in sieved
	not is_foreign(field)
	some id in sieves[12]
	some time in input.times
	p := data.world.permissions[id]
	is_inside(p.records, time)
	overruling := {other |
		some other in object.get(met, field, set())
		d := data.world.prohibitions[other]
		d.rank >= p.rank
		is_inside(d.records, time)
	}
	count(overruling) == 0
}

is_foreign(field) if {
	ask.action in {1, 3}
	data.world.fields[field].issuer != null
	data.world.fields[field].issuer != party
}

out contains row[0] if some row in released

determining contains row[2] if some row in released

# Why a field stays.

withheld[field] := why(field, sieved[field]) if {
	refusal == 0
	not ask.all
	some field in asked
	not field in out
}

is_broad(ids) if {
	some id in ids
	data.world.permissions[id].purposes[0] in data.world.below[ask.purpose]
}

is_suspended(ids) if {
	some id in ids
	data.world.permissions[id].status == 1
}

is_early(ids) if {
	some id in ids
	not has_begun(data.world.permissions[id].bounds, now)
}

is_sealed(field) if {
	some id in object.get(met, field, set())
	data.world.prohibitions[id].rank == 4
}

why(field, s) := 16 if {
	not data.world.fields[field]
} else := 17 if {
	is_foreign(field)
} else := 18 if {
	count(s[0]) == 0
} else := 19 if {
	count(s[1]) == 0
} else := 20 if {
	count(s[2]) == 0
	is_broad(s[1])
} else := 21 if {
	count(s[2]) == 0
} else := 22 if {
	count(s[3]) == 0
} else := 23 if {
	count(s[4]) == 0
} else := 24 if {
	count(s[5]) == 0
	is_suspended(s[4])
} else := 25 if {
	count(s[5]) == 0
} else := 26 if {
	count(s[6]) == 0
} else := 27 if {
	count(s[7]) == 0
	is_early(s[6])
} else := 28 if {
	count(s[7]) == 0
} else := 29 if {
	count(s[8]) == 0
} else := 30 if {
	count(s[9]) == 0
} else := 31 if {
	count(s[10]) == 0
} else := 32 if {
	count(s[11]) == 0
} else := 33 if {
	count(s[12]) == 0
} else := 35 if {
	is_sealed(field)
} else := 34

# Duties.

obligations contains duty if {
	some id in determining
	some duty in data.world.permissions[id].obligations
}

retentions contains data.world.permissions[id].retention if some id in determining

default retention := null

retention := min(retentions) if count(retentions) > 0

released_times contains [row[0], row[1]] if some row in released

decision := {
	"refusal": refusal,
	"released": released_times,
	"determining": determining,
	"withheld": withheld,
	"obligations": obligations,
	"retention": retention,
}
