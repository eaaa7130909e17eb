"""Mail that people send through mailbell: the submission server, the spool, and the way to their provider."""
