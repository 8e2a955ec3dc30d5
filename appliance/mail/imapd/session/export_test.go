package session

// Remembered is how much is remembered of changes since the last Sync.
func (s *Selected) Remembered() int { return len(s.own) + len(s.ownNew) + len(s.others) }
