"""What signing in and staying signed in cost, as ratios to the least that is possible and to what others offer."""
